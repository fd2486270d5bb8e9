# shellcheck shell=bash disable=SC2153
# Read by bash before a script (BASH_ENV). Where the namespace has a Service
# "hub", its pods take it for the Hugging Face hub, unless they name another.
if [ -z "${HF_ENDPOINT:-}" ] && [ -n "${HUB_SERVICE_HOST:-}" ]; then
	export HF_ENDPOINT="http://$HUB_SERVICE_HOST:$HUB_SERVICE_PORT"
fi
