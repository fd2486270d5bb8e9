{{- define "dynamo-cache.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" }}
{{- end }}

{{- /* The name of every resource: the release's name, with the chart's where that does not say it. */ -}}
{{- define "dynamo-cache.fullname" -}}
{{- $name := include "dynamo-cache.name" . }}
{{- if .Values.fullnameOverride }}
{{- .Values.fullnameOverride }}
{{- else if contains $name .Release.Name }}
{{- .Release.Name }}
{{- else }}
{{- printf "%s-%s" .Release.Name $name | trunc 63 | trimSuffix "-" }}
{{- end }}
{{- end }}

{{- /* What a selector may hold: it never changes in the life of a release. */ -}}
{{- define "dynamo-cache.selectorLabels" -}}
app.kubernetes.io/name: {{ include "dynamo-cache.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "dynamo-cache.labels" -}}
{{ include "dynamo-cache.selectorLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
{{- end }}

{{- define "dynamo-cache.podAnnotations" -}}
kubectl.kubernetes.io/default-container: dynamo-cache
{{- if eq .Values.metrics.scrape "annotations" }}
prometheus.io/scrape: "true"
prometheus.io/path: /metrics
prometheus.io/port: {{ .Values.ports.admin | quote }}
{{- end }}
{{- end }}

{{- define "dynamo-cache.serviceAccountName" -}}
{{- default (include "dynamo-cache.fullname" .) .Values.serviceAccount.name }}
{{- end }}

{{- define "dynamo-cache.image" -}}
{{- with .Values.image }}
{{- if .digest }}
{{- printf "%s@%s" .repository .digest }}
{{- else }}
{{- printf "%s:%s" .repository (default $.Chart.AppVersion .tag) }}
{{- end }}
{{- end }}
{{- end }}

{{- /* The settings, with the image of mode staged: the release's own, so that both are of one version, unless a value names another. */ -}}
{{- define "dynamo-cache.settings" -}}
{{- $settings := deepCopy (default dict .Values.config) }}
{{- $staging := default dict $settings.staging }}
{{- if not $staging.image }}
{{- $_ := set $staging "image" (include "dynamo-cache.image" .) }}
{{- end }}
{{- $_ := set $settings "staging" $staging }}
{{- toYaml $settings }}
{{- end }}

{{- /* Whether the settings ask for events: not empty where they do. The right to write them and what the API server is
promised of side effects follow from it. */ -}}
{{- define "dynamo-cache.events" -}}
{{- if (.Values.config).events }}true{{ end }}
{{- end }}

{{- define "dynamo-cache.sideEffects" -}}
{{- if include "dynamo-cache.events" . }}NoneOnDryRun{{ else }}None{{ end }}
{{- end }}

{{- /* What the guard does; empty: nothing. A file of values may say Off without quotes, which YAML reads as false. */ -}}
{{- define "dynamo-cache.guard" -}}
{{- if not (has .Values.guard.mode (list "Off" false)) }}{{ .Values.guard.mode }}{{ end }}
{{- end }}

{{- /* The Secret of the CA that the replicas share, where they make their certificates themselves. */ -}}
{{- define "dynamo-cache.authoritySecretName" -}}
{{- printf "%s-ca" (include "dynamo-cache.fullname" .) }}
{{- end }}

{{- define "dynamo-cache.certificateSecretName" -}}
{{- default (printf "%s-tls" (include "dynamo-cache.fullname" .)) .Values.certificate.secretName }}
{{- end }}

{{- /* The namespaces of the webhook and of the guard: those that the value chooses, or the label where it chooses none; never
those that are excluded by name. */ -}}
{{- define "dynamo-cache.namespaceSelector" -}}
{{- $chosen := .Values.webhook.namespaceSelector }}
{{- $labels := $chosen.matchLabels }}
{{- if not (or $labels $chosen.matchExpressions) }}
{{- $labels = dict "dynamo-cache.io/inject" "enabled" }}
{{- end }}
{{- with $labels }}
matchLabels:
  {{- toYaml . | nindent 2 }}
{{- end }}
matchExpressions:
  {{- with $chosen.matchExpressions }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
  - key: kubernetes.io/metadata.name
    operator: NotIn
    values:
      {{- $excluded := list .Release.Namespace "kube-system" "kube-public" "kube-node-lease" }}
      {{- concat $excluded .Values.webhook.excludedNamespaces | uniq | toYaml | nindent 6 }}
{{- end }}

{{- /* What the value chooses, as kubectl's --selector writes it, for the program's own watch; empty: the label. */ -}}
{{- define "dynamo-cache.selectedNamespaces" -}}
{{- $parts := list }}
{{- range $key, $value := .Values.webhook.namespaceSelector.matchLabels }}
{{- $parts = append $parts (printf "%s=%s" $key $value) }}
{{- end }}
{{- range .Values.webhook.namespaceSelector.matchExpressions }}
{{- if eq .operator "Exists" }}
{{- $parts = append $parts .key }}
{{- else if eq .operator "DoesNotExist" }}
{{- $parts = append $parts (printf "!%s" .key) }}
{{- else }}
{{- $parts = append $parts (printf "%s %s (%s)" .key (lower .operator) (join "," .values)) }}
{{- end }}
{{- end }}
{{- join "," $parts }}
{{- end }}
