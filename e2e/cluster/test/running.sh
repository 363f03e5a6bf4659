# shellcheck shell=bash
# Checks of a cluster that is up: what a test of a workload relies on.

apply_fixtures() {
  kubectl apply -f "$here/test/fixtures.yaml"
  kubectl rollout status statefulset/web --timeout 60s
}

pod_address() { kubectl get pod "$1" -o 'jsonpath={.status.podIP}'; }
ask() { kubectl exec "$1" -- timeout 2 wget -q -O - "http://$2/"; } # FROM-POD ADDRESS

volumes_are_writable() {
  equal "the owner of the process" "$(kubectl exec web-0 -- id -u)" 65532
  equal "what is in the volume" "$(kubectl exec web-0 -- cat /data/index.html)" web-0
  equal "claims bound" "$(kubectl get pvc -o 'jsonpath={.items[*].status.phase}')" "Bound Bound"
}

pods_are_on_both_nodes() {
  equal "nodes of the pods" "$(kubectl get pods -l app=web -o 'jsonpath={.items[*].spec.nodeName}' | xargs -n1 | sort | xargs)" "node-1 node-2"
}

names_resolve() {
  local service
  service=$(kubectl get service web -o 'jsonpath={.spec.clusterIP}')
  contains "$(kubectl exec web-0 -- nslookup web.default.svc.cluster.local)" "Address: $service"
  contains "$(kubectl exec web-1 -- nslookup kubernetes.default.svc.cluster.local)" "Address: 198.18.128.1"
}

# 24 answers from one pod only would be chance in one of 16 million runs.
service_reaches_both_nodes() {
  local service from
  service=$(kubectl get service web -o 'jsonpath={.spec.clusterIP}')
  for from in web-0 web-1; do
    equal "who answered $from" "$(for _ in {1..24}; do ask "$from" "$service"; done | sort -u | xargs)" "web-0 web-1"
  done
}

host_reaches_the_service() {
  contains "$(curl --noproxy '*' -sS -m 5 "http://$(kubectl get service web -o 'jsonpath={.spec.clusterIP}')/")" web-
}

logs_are_readable() { equal "the log" "$(kubectl logs web-1)" serving; }
helm_works() { equal "helm's releases" "$(helm list --all-namespaces --short)" ""; }

# The fault is in the pod's own namespace, so it must not show anywhere else.
faults_are_injected() {
  local netns rules
  rules=$(iptables-save 2>/dev/null)
  netns=$("$here/pod-netns" default web-1)
  nsenter "--net=$netns" iptables -A INPUT -p tcp --dport 8080 -j DROP
  fails_with "exit code 143" ask web-0 "$(pod_address web-1):8080"
  ask web-1 "$(pod_address web-0):8080"
  nsenter "--net=$netns" iptables -D INPUT -p tcp --dport 8080 -j DROP
  ask web-0 "$(pod_address web-1):8080"
  equal "the host's firewall" "$(iptables-save 2>/dev/null | grep -v '^#')" "$(grep -v '^#' <<<"$rules")"
}

pod_netns_names_what_is_missing() {
  fails_with 'pods "nobody" not found' "$here/pod-netns" default nobody
}

restarted_pods_keep_their_volume() {
  kubectl exec web-0 -- sh -c 'echo kept >/data/kept'
  kubectl delete pod web-0 --wait
  kubectl rollout status statefulset/web --timeout 60s
  equal "the file in the volume" "$(kubectl exec web-0 -- cat /data/kept)" kept
}

images_run_as_nobody() {
  local image
  . "$IMAGES_ENV"
  for image in "$TIDEMARK_OPERATOR_IMAGE" "$TIDEMARK_FOLLOWER_IMAGE"; do
    kubectl delete pod image --ignore-not-found
    kubectl run image --image "$image" --restart Never --override-type strategic --overrides \
      '{"spec": {"securityContext": {"runAsNonRoot": true}}}' -- --help
    kubectl wait pod/image --for 'jsonpath={.status.phase}=Succeeded' --timeout 30s
  done
}

# getent is linked with the C library alone, as our programs are: its images must find names without any file beside it.
images_resolve_names() {
  local work
  work=$(mktemp -d)
  new_root "$work/getent/root"
  add_program "$work/getent/root" "$(command -v getent)"
  ensure_plain_image "$work/list" getent key /usr/local/bin/getent "$work/getent"
  "$here/load-images" "$work/list"
  kubectl run getent --image "$(cut -d' ' -f1 "$work/list")" --restart Never -- hosts kubernetes.default.svc.cluster.local
  kubectl wait pod/getent --for 'jsonpath={.status.phase}=Succeeded' --timeout 30s
  contains "$(kubectl logs getent)" 198.18.128.1
  rm -r "$work"
}

archives() { cat "$IMAGES_ENV" && ls -i "$IMAGES_DIR"/*.tar; }

images_are_not_built_twice() {
  local before
  before=$(archives)
  "$here/build-images"
  equal "the archives" "$(archives)" "$before"
}
