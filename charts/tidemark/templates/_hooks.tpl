{{- /* The name of what a hook makes: (list CONTEXT HOOK). A Job's is at most 63 long. */ -}}
{{- define "tidemark.hookName" -}}
{{- printf "%s-%s" (include "tidemark.fullname" (index . 0) | trunc 56 | trimSuffix "-") (index . 1) -}}
{{- end -}}

{{- /* Metadata of what a hook makes: (list CONTEXT EVENT WEIGHT), and "pod" behind them if it is a pod. It is gone after the
hook, unless that failed. */ -}}
{{- define "tidemark.hookMetadata" -}}
{{- $context := index . 0 -}}
{{- $pod := gt (len .) 3 -}}
labels: {{- include "tidemark.labelsOf" (list $context "tidemark-hook" (ternary $context.Values.podLabels (dict) $pod)) | nindent 2 }}
annotations:
  {{- $hook := dict
    "helm.sh/hook" (index . 1)
    "helm.sh/hook-weight" (index . 2 | toString)
    "helm.sh/hook-delete-policy" "before-hook-creation,hook-succeeded"
    "helm.sh/hook-output-log-policy" "hook-failed"
  }}
  {{- toYaml (merge $hook (ternary $context.Values.podAnnotations (dict) $pod) $context.Values.commonAnnotations) | nindent 2 }}
{{- end -}}

{{- /* The pod of a hook, which says what it found by how it ends: (list CONTEXT ACCOUNT ARGS). */ -}}
{{- define "tidemark.hookPod" -}}
{{- $context := index . 0 -}}
restartPolicy: Never
serviceAccountName: {{ index . 1 }}
enableServiceLinks: false
{{ include "tidemark.podSettings" $context }}
containers:
  - name: operator
    image: {{ include "tidemark.image" $context }}
    imagePullPolicy: {{ $context.Values.image.pullPolicy }}
    args: {{- toYaml (index . 2) | nindent 6 }}
    {{- with $context.Values.env }}
    env: {{- toYaml . | nindent 6 }}
    {{- end }}
    resources:
      requests: { cpu: 10m, memory: 16Mi }
      limits: { memory: 64Mi }
    securityContext: {{- toYaml $context.Values.securityContext | nindent 6 }}
    {{- with $context.Values.extraVolumeMounts }}
    volumeMounts: {{- toYaml . | nindent 6 }}
    {{- end }}
{{- with $context.Values.extraVolumes }}
volumes: {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{- /* A hook's account, and one rule for it in each NAMESPACE, or in the cluster if there is none:
(list CONTEXT HOOK EVENT RULE NAMESPACES). Without roles of the chart's, the operator's account has what hooks need. */ -}}
{{- define "tidemark.hookAccount" -}}
{{- $context := index . 0 -}}
{{- $name := include "tidemark.hookName" (list $context (index . 1)) -}}
{{- $event := index . 2 -}}
{{- $rule := index . 3 -}}
{{- $subject := dict "kind" "ServiceAccount" "name" $name "namespace" $context.Release.Namespace -}}
apiVersion: v1
kind: ServiceAccount
metadata:
  name: {{ $name }}
  namespace: {{ $context.Release.Namespace }}
  {{- include "tidemark.hookMetadata" (list $context $event -3) | nindent 2 }}
{{- range index . 4 | default (list "") }}
{{- $kind := ternary "Role" "ClusterRole" (ne . "") }}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: {{ $kind }}
metadata:
  name: {{ $name }}
  {{- with . }}
  namespace: {{ . }}
  {{- end }}
  {{- include "tidemark.hookMetadata" (list $context $event -2) | nindent 2 }}
rules: {{- toYaml (list $rule) | nindent 2 }}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: {{ $kind }}Binding
metadata:
  name: {{ $name }}
  {{- with . }}
  namespace: {{ . }}
  {{- end }}
  {{- include "tidemark.hookMetadata" (list $context $event -1) | nindent 2 }}
roleRef: { apiGroup: rbac.authorization.k8s.io, kind: {{ $kind }}, name: {{ $name }} }
subjects: {{- toYaml (list $subject) | nindent 2 }}
{{- end }}
{{- end -}}
