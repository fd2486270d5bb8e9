//! The kubelet's view of the webhook's mounts.

use serde_json::json;

use super::namespace::Namespace;
use super::pod;
use super::release;
use super::volume::Volume;

/// Says what an engine's process sees of its two caches, whether it can write there or not.
pub(crate) const READS_AND_WRITES: &str = r#"
id
for place in "$HF_HOME" "$VLLM_CACHE_ROOT"; do
    [[ $place ]] || continue
    mount=$(awk -v place="$place" 'index(place "/", $2 "/") == 1 && $2 != "/" { print $2, substr($4, 1, 2) }' /proc/mounts)
    echo "mount $mount"
    stat -c 'root %a %u:%g' "${mount% *}"
    if mkdir -p "$place" && touch "$place/written"; then echo "wrote to ${mount% *}"; else echo "refused in ${mount% *}"; fi
done 2>&1
"#;

/// What it says where both roots are root's and 0755.
pub(crate) const REFUSED: [&str; 4] = [
    "root 755 0:0",
    "touch: cannot touch '/home/dynamo/.cache/huggingface/written': Permission denied",
    "refused in /home/dynamo/.cache/huggingface",
    "refused in /home/dynamo/.cache/dynamo-cache",
];

/// What it says where the kubelet has given them to group 0.
pub(crate) const WROTE: [&str; 3] =
    ["root 2775 0:0", "wrote to /home/dynamo/.cache/huggingface", "wrote to /home/dynamo/.cache/dynamo-cache"];

#[test]
fn a_root_of_root_refuses_a_worker_of_uid_1000_until_the_pod_has_fs_group_0() {
    let _running = release::running();
    // A proof that is wrong: no user has written there.
    let proven = |claim| Volume { writable: "true", ..Volume::of_root(claim) };
    let namespace = Namespace::opted_in(&[]);
    namespace.claims(&[proven("model-cache"), proven("compilation-cache")]);
    namespace.run(&pod::engine("without", READS_AND_WRITES)).assert_said(&REFUSED);
    let mut with = pod::engine("with", READS_AND_WRITES);
    with["spec"]["securityContext"]["fsGroup"] = json!(0);
    namespace.run(&with).assert_said(&WROTE);
}

#[test]
fn a_model_express_client_streams_into_the_hub_of_the_model_cache() {
    let _running = release::running();
    let url = ("model-express-url", "http://model-express.models.svc:8001");
    let namespace = Namespace::opted_in(&[url, ("model-express-shared-storage", "false")]);
    namespace.claims(&[Volume::prepared("model-cache")]);
    let streams = r#"
echo "no shared storage: $MODEL_EXPRESS_NO_SHARED_STORAGE, $MODEL_EXPRESS_URL"
stream=/home/dynamo/.model-express/cache
awk '$2 ~ "^/home/dynamo" { print "mount", $2, substr($4, 1, 2) }' /proc/mounts | sort
ls -ld "$HF_HOME" "$stream"
mkdir "$stream/models--streamed"
[[ -d $HF_HUB_CACHE/models--streamed ]] && echo "the hub has what was streamed"
"#;
    let ended = namespace.run(&pod::engine("streams", streams));
    ended.assert_said(&[
        "no shared storage: true, http://model-express.models.svc:8001",
        "mount /home/dynamo/.cache/huggingface rw",
        "mount /home/dynamo/.model-express/cache rw",
        "the hub has what was streamed",
    ]);
    assert_eq!(ended.status()["containers"]["main"], json!(["model", "model-express"]));
}

#[test]
fn a_model_cache_that_is_set_read_only_is_mounted_read_only() {
    let _running = release::running();
    let namespace = Namespace::opted_in(&[("model-read-only", "true")]);
    namespace.claims(&[Volume::prepared("model-cache"), Volume::proven("compilation-cache")]);
    namespace.run(&pod::engine("reads", READS_AND_WRITES)).assert_said(&[
        "mount /home/dynamo/.cache/huggingface ro",
        "touch: cannot touch '/home/dynamo/.cache/huggingface/written': Read-only file system",
        "refused in /home/dynamo/.cache/huggingface",
        "mount /home/dynamo/.cache/dynamo-cache rw",
        "wrote to /home/dynamo/.cache/dynamo-cache",
    ]);
}

#[test]
fn a_read_only_many_claim_is_mounted_read_only_and_is_no_compile_cache() {
    let _running = release::running();
    let namespace = Namespace::opted_in(&[]);
    let read_only = |claim| Volume { access: "ReadOnlyMany", ..Volume::prepared(claim) };
    namespace.claims(&[read_only("model-cache"), read_only("compilation-cache")]);
    let ended = namespace.run(&pod::engine("reads", READS_AND_WRITES));
    ended.assert_said(&[
        "mount /home/dynamo/.cache/huggingface ro",
        "touch: cannot touch '/home/dynamo/.cache/huggingface/written': Read-only file system",
        "refused in /home/dynamo/.cache/huggingface",
    ]);
    assert!(!ended.log.contains(".cache/dynamo-cache"), "{}", ended.log);
    let skipped = json!([{"cache": "compile", "container": "main", "reason": "claim-read-only"}]);
    assert_eq!(ended.status()["skipped"], skipped);
}

#[test]
fn a_compile_claim_that_is_not_proven_is_skipped() {
    let _running = release::running();
    let namespace = Namespace::opted_in(&[]);
    namespace.claims(&[Volume::prepared("model-cache"), Volume::of_root("compilation-cache")]);
    let ended = namespace.run(&pod::engine("unproven", READS_AND_WRITES));
    ended.assert_said(&["wrote to /home/dynamo/.cache/huggingface"]);
    assert!(!ended.log.contains(".cache/dynamo-cache"), "{}", ended.log);
    let skipped = json!([{"cache": "compile", "container": "main", "reason": "claim-unproven"}]);
    assert_eq!(ended.status()["skipped"], skipped);
}
