{{- define "postlink.name" -}}
{{- include "postlink.short" (default .Chart.Name .Values.nameOverride) -}}
{{- end -}}

{{/* At most 52 characters, so that a label has room for the longest suffix. A truncated name may not end in `-` or `.`. */}}
{{- define "postlink.short" -}}
{{- regexReplaceAll "[-.]+$" (trunc 52 .) "" -}}
{{- end -}}

{{- define "postlink.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- include "postlink.short" .Values.fullnameOverride -}}
{{- else -}}
{{- $name := default .Chart.Name .Values.nameOverride -}}
{{- if contains $name .Release.Name -}}
{{- include "postlink.short" .Release.Name -}}
{{- else -}}
{{- include "postlink.short" (printf "%s-%s" .Release.Name $name) -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "postlink.namespace" -}}
{{- default .Release.Namespace .Values.namespaceOverride -}}
{{- end -}}

{{/* The name of a Service is a DNS label, so a release's dots and leading digit are replaced. */}}
{{- define "postlink.metricsService" -}}
{{- $name := printf "%s-metrics" (include "postlink.fullname" .) | replace "." "-" -}}
{{- regexReplaceAll "^([0-9])" $name "n${1}" -}}
{{- end -}}

{{- define "postlink.serviceAccount" -}}
{{- if .Values.serviceAccount.create -}}
{{- default (include "postlink.fullname" .) .Values.serviceAccount.name -}}
{{- else -}}
{{- required "serviceAccount.create is false: set serviceAccount.name" .Values.serviceAccount.name -}}
{{- end -}}
{{- end -}}

{{/* A Deployment's selector is immutable, so it has only these two labels. */}}
{{- define "postlink.selector" -}}
app.kubernetes.io/name: {{ include "postlink.name" . | quote }}
app.kubernetes.io/instance: {{ .Release.Name | quote }}
{{- end -}}

{{/* Build metadata (`1.2.3+build.4`) is allowed neither in a label nor in the tag of an image. */}}
{{- define "postlink.labelValue" -}}
{{- regexReplaceAll "[-._]+$" (toString . | replace "+" "_" | trunc 63) "" -}}
{{- end -}}

{{- define "postlink.labels" -}}
{{- $own := include "postlink.selector" . | fromYaml -}}
{{- $_ := set $own "helm.sh/chart" (include "postlink.labelValue" (printf "%s-%s" .Chart.Name .Chart.Version)) -}}
{{- $_ := set $own "app.kubernetes.io/version" (include "postlink.labelValue" .Chart.AppVersion) -}}
{{- $_ := set $own "app.kubernetes.io/part-of" "postlink" -}}
{{- $_ := set $own "app.kubernetes.io/managed-by" .Release.Service -}}
{{- toYaml (merge (dict) $own .Values.commonLabels) -}}
{{- end -}}

{{/* The labels of every object and additional ones, which cannot replace them. Takes a dict: root, labels. */}}
{{- define "postlink.labelsWith" -}}
{{- toYaml (merge (dict) (include "postlink.labels" .root | fromYaml) (.labels | default dict)) -}}
{{- end -}}

{{/* Without the chart's version: a new chart alone does not restart the pods. */}}
{{- define "postlink.podLabels" -}}
{{- $own := include "postlink.selector" . | fromYaml -}}
{{- $_ := set $own "app.kubernetes.io/part-of" "postlink" -}}
{{- toYaml (merge (dict) $own .Values.podLabels .Values.commonLabels) -}}
{{- end -}}

{{- define "postlink.image" -}}
{{- if .Values.image.digest -}}
{{- printf "%s@%s" .Values.image.repository .Values.image.digest -}}
{{- else -}}
{{- printf "%s:%s" .Values.image.repository (.Values.image.tag | default .Chart.AppVersion | replace "+" "_") -}}
{{- end -}}
{{- end -}}

{{/* The filter of the logs, which is POSTLINK_LOG. Empty: the program's default, level info. */}}
{{- define "postlink.logFilter" -}}
{{- $level := default "info" .Values.logLevel -}}
{{- if ne $level "info" -}}
{{- range .Values.extraEnv -}}
{{- if eq .name "POSTLINK_LOG" -}}
{{- fail "logLevel sets POSTLINK_LOG: remove it from extraEnv, or set logLevel to info" -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- if eq $level "error" -}}
error
{{- else if ne $level "info" -}}
{{- /* The watcher's errors are logged by Postlink as well. */ -}}
{{- printf "warn,kube_runtime::watcher=off,postlink=%s" $level -}}
{{- end -}}
{{- end -}}

{{/* The controller, as the subject of a binding. */}}
{{- define "postlink.subjects" -}}
subjects:
  - kind: ServiceAccount
    name: {{ include "postlink.serviceAccount" . | quote }}
    namespace: {{ include "postlink.namespace" . | quote }}
{{- end -}}

{{/*
The controller's permissions on the objects it watches, in a ClusterRole or in a Role per namespace. It gets Secrets by the
name in a connection; it never lists or watches them.
*/}}
{{- define "postlink.rules" -}}
rules:
  - apiGroups: [postlink.dev]
    resources: [dynamicsconnections, automationrules, postlinks]
    verbs: [get, list, watch]
  - apiGroups: [postlink.dev]
    resources: [dynamicsconnections] # the finalizer
    verbs: [patch]
  - apiGroups: [postlink.dev]
    resources: [dynamicsconnections/status, automationrules/status, postlinks/status]
    verbs: [update]
  - apiGroups: [""]
    resources: [secrets]
    verbs: [get]
  - apiGroups: [events.k8s.io]
    resources: [events]
    verbs: [create, patch]
{{- end -}}

{{/* A shipped manifest's metadata with the common labels, where there are any. Takes a dict: root, object. */}}
{{- define "postlink.withCommonLabels" -}}
{{- $object := .object -}}
{{- with .root.Values.commonLabels -}}
{{- $metadata := $object.metadata -}}
{{- $_ := set $metadata "labels" (merge (dict) . ($metadata.labels | default dict)) -}}
{{- end -}}
{{- toYaml $object -}}
{{- end -}}

{{/*
Fails if another release has an object: `--take-ownership` would take it over, and uninstalling this release would then
delete it. `helm template` cannot look. Takes a dict: root, object.
*/}}
{{- define "postlink.notOfAnotherRelease" -}}
{{- $object := .object -}}
{{- with include "postlink.otherOwner" . -}}
{{- printf "%s %s %s. The CRDs and the admission policies exist once in a cluster. For a second installation, set namespaces (and in the first release as well), or set crds.install=false and admission.install=false. If that release no longer exists, see \"Several releases\" in the README of the chart." $object.kind $object.metadata.name . | fail -}}
{{- end -}}
{{- end -}}

{{/* The same for objects that are named after the release. Takes a dict: root, apiVersion, kinds, suffixes, and namespace, if they have one. */}}
{{- define "postlink.namesAreFree" -}}
{{- $fullname := include "postlink.fullname" .root -}}
{{- range $kind := .kinds -}}
{{- range $suffix := $.suffixes -}}
{{- $name := print $fullname $suffix -}}
{{- $object := dict "apiVersion" $.apiVersion "kind" $kind "metadata" (dict "name" $name "namespace" ($.namespace | default "")) -}}
{{- with include "postlink.otherOwner" (dict "root" $.root "object" $object) -}}
{{- printf "%s %s %s. It is named after the release: give this release another name, or set fullnameOverride. If that release no longer exists, delete the object." $kind $name . | fail -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* Empty, or the release that has an object. Takes a dict: root, object. */}}
{{- define "postlink.otherOwner" -}}
{{- $release := .root.Release -}}
{{- $found := lookup .object.apiVersion .object.kind (.object.metadata.namespace | default "") .object.metadata.name | default dict -}}
{{- $annotations := dig "metadata" "annotations" dict $found -}}
{{- $name := get $annotations "meta.helm.sh/release-name" -}}
{{- $namespace := get $annotations "meta.helm.sh/release-namespace" -}}
{{- if and $name $namespace (or (ne $name $release.Name) (ne $namespace $release.Namespace)) -}}
{{- printf "belongs to the release %s in the namespace %s" $name $namespace -}}
{{- end -}}
{{- end -}}

{{/* The values that names and subjects of objects depend on, as options of `helm template`. */}}
{{- define "postlink.nameOptions" -}}
{{- range $value := list "nameOverride" "fullnameOverride" "namespaceOverride" -}}
{{- with index $.Values $value }} --set-string {{ $value }}={{ . }}{{ end -}}
{{- end -}}
{{- with .Values.serviceAccount.name }} --set-string serviceAccount.name={{ . }}{{ end -}}
{{- if not .Values.serviceAccount.create }} --set serviceAccount.create=false{{ end -}}
{{- end -}}
