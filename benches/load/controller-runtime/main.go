// The webhook that controller-runtime makes of the same work: the usual way of writing one. It decodes a typed Pod,
// changes it, and has the patch computed from both. What it adds to the bench's worker is what dynamo-cache adds; it
// knows no other pod, no settings and no claims.
package main

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"flag"
	"fmt"
	"net/http"
	"os"
	"strings"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/log"
	"sigs.k8s.io/controller-runtime/pkg/manager/signals"
	"sigs.k8s.io/controller-runtime/pkg/webhook"
	"sigs.k8s.io/controller-runtime/pkg/webhook/admission"
)

const (
	hub     = "/home/dynamo/.cache/huggingface"
	compile = "/home/dynamo/.cache/dynamo-cache"
	status  = "dynamo-cache.io/status"
)

var version string

func main() {
	host := flag.String("host", "127.0.0.1", "where to listen")
	port := flag.Int("port", 9443, "where to listen")
	certificates := flag.String("certificates", "", "the folder with tls.crt and tls.key")
	flag.StringVar(&version, "version", "", "the version that stands in the status")
	flag.Parse()
	log.SetLogger(logr.Discard())

	scheme := runtime.NewScheme()
	if err := corev1.AddToScheme(scheme); err != nil {
		fail(err)
	}
	server := webhook.NewServer(webhook.Options{Host: *host, Port: *port, CertDir: *certificates})
	mutator := &mutator{decoder: admission.NewDecoder(scheme)}
	server.Register("/mutate", &admission.Webhook{Handler: mutator})
	if err := server.Start(signals.SetupSignalHandler()); err != nil {
		fail(err)
	}
}

func fail(err error) {
	fmt.Fprintln(os.Stderr, err)
	os.Exit(1)
}

type mutator struct {
	decoder admission.Decoder
}

func (m *mutator) Handle(_ context.Context, request admission.Request) admission.Response {
	pod := &corev1.Pod{}
	if err := m.decoder.Decode(request, pod); err != nil {
		return admission.Errored(http.StatusBadRequest, err)
	}
	mutate(pod)
	changed, err := json.Marshal(pod)
	if err != nil {
		return admission.Errored(http.StatusInternalServerError, err)
	}
	return admission.PatchResponseFromRaw(request.Object.Raw, changed)
}

func mutate(pod *corev1.Pod) {
	for index := range pod.Spec.Containers {
		if container := &pod.Spec.Containers[index]; container.Name == "main" {
			addCaches(pod, container)
		}
	}
	pod.Annotations[status] = `{"containers":{"main":["model","compile"]},"skipped":[],"version":"` + version + `"}`
}

func addCaches(pod *corev1.Pod, container *corev1.Container) {
	for _, cache := range []struct{ volume, claim, path string }{
		{"dynamo-cache-model", "model-cache", hub},
		{"dynamo-cache-compile", "compilation-cache", compile},
	} {
		claim := &corev1.PersistentVolumeClaimVolumeSource{ClaimName: cache.claim}
		source := corev1.VolumeSource{PersistentVolumeClaim: claim}
		pod.Spec.Volumes = append(pod.Spec.Volumes, corev1.Volume{Name: cache.volume, VolumeSource: source})
		mount := corev1.VolumeMount{Name: cache.volume, MountPath: cache.path}
		container.VolumeMounts = append(container.VolumeMounts, mount)
	}
	key := compile + "/" + key(pod, container)
	for _, variable := range []corev1.EnvVar{
		{Name: "HF_HOME", Value: hub},
		{Name: "HF_HUB_CACHE", Value: hub + "/hub"},
		{Name: "HF_XET_CACHE", Value: "/tmp/huggingface/xet"},
		{Name: "HF_MODULES_CACHE", Value: "/tmp/huggingface/modules"},
		{Name: "HF_TOKEN_PATH", Value: "/tmp/huggingface/token"},
		{Name: "VLLM_CACHE_ROOT", Value: key},
	} {
		container.Env = append(container.Env, variable)
	}
}

// notCompiled are flags of the engine that do not change what it compiles, each with the number of its values.
var notCompiled = map[string]int{
	"--enable-prefix-caching":  0,
	"--gpu-memory-utilization": 1,
	"--port":                   1,
	"--seed":                   1,
}

// key keeps the compile caches of different images, GPUs and command lines apart.
func key(pod *corev1.Pod, container *corev1.Container) string {
	all := append(append([]string{}, container.Command...), container.Args...)
	words := make([]string, 0, len(all))
	for index := 0; index < len(all); index++ {
		if values, ok := notCompiled[all[index]]; ok {
			index += values
			continue
		}
		words = append(words, all[index])
	}
	gpu := pod.Spec.NodeSelector["nvidia.com/gpu.product"]
	return short(container.Image) + "-" + gpu + "-" + short(strings.Join(words, "\x00"))
}

func short(text string) string {
	return fmt.Sprintf("%x", sha256.Sum256([]byte(text)))[:12]
}
