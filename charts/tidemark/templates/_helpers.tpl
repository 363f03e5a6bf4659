{{- define "tidemark.fullname" -}}
{{- $name := default .Chart.Name .Values.nameOverride -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 63 | trimSuffix "-" -}}
{{- else if contains $name .Release.Name -}}
{{- .Release.Name | trunc 63 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 63 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- /* Pods of hooks bear another app.kubernetes.io/name, so that they are not among these. */ -}}
{{- define "tidemark.selector" -}}
app.kubernetes.io/name: tidemark-operator
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- /* (list CONTEXT NAME EXTRA): ours win, then the extra ones, then those of every object. */ -}}
{{- define "tidemark.labelsOf" -}}
{{- $context := index . 0 -}}
{{- $ours := dict
  "app.kubernetes.io/name" (index . 1)
  "app.kubernetes.io/instance" $context.Release.Name
  "app.kubernetes.io/version" $context.Chart.AppVersion
  "app.kubernetes.io/part-of" "tidemark"
  "app.kubernetes.io/managed-by" $context.Release.Service
  "helm.sh/chart" (printf "%s-%s" $context.Chart.Name $context.Chart.Version | replace "+" "_")
-}}
{{- toYaml (merge $ours (index . 2) $context.Values.commonLabels) -}}
{{- end -}}

{{- /* Those of the operator's own objects. */ -}}
{{- define "tidemark.labels" -}}
{{- include "tidemark.labelsOf" (list . "tidemark-operator" (dict)) -}}
{{- end -}}

{{- /* Labels, and annotations if there are any: (list CONTEXT LABELS ANNOTATIONS). */ -}}
{{- define "tidemark.metadata" -}}
{{- $context := index . 0 -}}
labels: {{- include "tidemark.labelsOf" (list $context "tidemark-operator" (index . 1)) | nindent 2 }}
{{- with merge (dict) (index . 2) $context.Values.commonAnnotations }}
annotations: {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{- define "tidemark.serviceAccountName" -}}
{{- default (ternary (include "tidemark.fullname" .) "default" .Values.serviceAccount.create) .Values.serviceAccount.name -}}
{{- end -}}

{{- define "tidemark.image" -}}
{{- if .Values.image.digest -}}
{{- printf "%s@%s" .Values.image.repository .Values.image.digest -}}
{{- else -}}
{{- printf "%s:%s" .Values.image.repository (default .Chart.AppVersion .Values.image.tag) -}}
{{- end -}}
{{- end -}}

{{- define "tidemark.priorityClassName" -}}
{{- default (ternary (include "tidemark.fullname" .) "" .Values.priorityClass.create) .Values.priorityClassName -}}
{{- end -}}

{{- /* What all pods have in common. */ -}}
{{- define "tidemark.podSettings" -}}
securityContext: {{- toYaml .Values.podSecurityContext | nindent 2 }}
{{- with .Values.imagePullSecrets }}
imagePullSecrets: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with include "tidemark.priorityClassName" . }}
priorityClassName: {{ . }}
{{- end }}
{{- with .Values.nodeSelector }}
nodeSelector: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.tolerations }}
tolerations: {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{- /* What the operator may do, and nothing it does not use. */ -}}
{{- define "tidemark.rules" -}}
- apiGroups: [tidemark.dev]
  resources: [storereplicasets]
  verbs: [list, watch]
- apiGroups: [tidemark.dev]
  resources: [storereplicasets/status]
  verbs: [patch]
# Pods are replaced one at a time, once the judge has them out.
- apiGroups: [""]
  resources: [pods]
  verbs: [list, watch, delete]
# The operator's own gate condition on the pods of a fleet; never Ready.
- apiGroups: [""]
  resources: [pods/status]
  verbs: [patch]
- apiGroups: [""]
  resources: [services, serviceaccounts]
  verbs: [get, list, watch, create, patch, delete]
# Volumes grow by a patch of their claims, and one whose pod is to be rebuilt goes with it.
- apiGroups: [""]
  resources: [persistentvolumeclaims]
  verbs: [list, watch, patch, delete]
- apiGroups: [apps]
  resources: [statefulsets]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [policy]
  resources: [poddisruptionbudgets]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [networking.k8s.io]
  resources: [networkpolicies]
  verbs: [get, list, watch, create, patch, delete]
{{- with .Values.tlsSecrets }}
# What spec.primary.tls and spec.follower.tls name.
- apiGroups: [""]
  resources: [secrets]
  resourceNames: {{- toYaml . | nindent 4 }}
  verbs: [get]
{{- end }}
- apiGroups: [events.k8s.io]
  resources: [events]
  verbs: [create, patch]
{{- end -}}

{{- /* How often and how one endpoint is read, from a monitor's values. */ -}}
{{- define "tidemark.scrape" -}}
scheme: http
{{- with .interval }}
interval: {{ . }}
{{- end }}
{{- with .scrapeTimeout }}
scrapeTimeout: {{ . }}
{{- end }}
{{- with .relabelings }}
relabelings: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .metricRelabelings }}
metricRelabelings: {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}
