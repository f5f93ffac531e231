{{- define "dsnot.fullname" -}}
{{- $name := ternary .Release.Name (printf "%s-dsnot" .Release.Name) (contains "dsnot" .Release.Name) -}}
{{- /* a pod's name ends with -worker-CLASS-HASH-ID and must fit into 63 characters */ -}}
{{- if gt (len $name) 26 }}{{ fail (printf "the release name %s is too long: with -dsnot it may have 26 characters; choose a shorter one" .Release.Name) }}{{ end -}}
{{- $name -}}
{{- end }}

{{- define "dsnot.image" -}}
{{- $repository := required "image.repository is empty; name the registry that has your images, such as registry.example/team" .root.Values.image.repository -}}
{{- printf "%s/%s:%s" $repository .image (.tag | default .root.Values.image.tag | default .root.Chart.AppVersion) -}}
{{- end }}

{{- /* SQL of the bytes of a quantity of Kubernetes, such as 16Gi; a numeric, which cannot overflow */ -}}
{{- define "dsnot.bytes" -}}
{{- $factors := dict "" "1" "m" "0.001" "k" "1e3" "M" "1e6" "G" "1e9" "T" "1e12" "P" "1e15" "E" "1e18" -}}
{{- $factors = merge $factors (dict "Ki" "2^10" "Mi" "2^20" "Gi" "2^30" "Ti" "2^40" "Pi" "2^50" "Ei" "2^60") -}}
{{- $number := regexFind "^[0-9.]+" . -}}
{{- printf "%s * (%s)::numeric" $number (get $factors (trimPrefix $number .)) -}}
{{- end }}

{{- define "dsnot.selector" -}}
app.kubernetes.io/name: dsnot
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .component }}
{{- with .class }}
dsnot/class: {{ . }}
{{- end }}
{{- end }}

{{- define "dsnot.labels" -}}
{{ include "dsnot.selector" . }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ .root.Chart.Name }}-{{ .root.Chart.Version }}
{{- end }}

{{- /* enableServiceLinks would add variables such as DSNOT_PORT */ -}}
{{- define "dsnot.pod" -}}
automountServiceAccountToken: false
enableServiceLinks: false
securityContext:
  runAsNonRoot: true
  seccompProfile: {type: RuntimeDefault}
  fsGroupChangePolicy: OnRootMismatch
  {{- with .root.Values.podSecurity }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- with .root.Values.image.pullSecrets }}
imagePullSecrets:
  {{- range . }}
  - name: {{ . }}
  {{- end }}
{{- end }}
{{- with .nodeSelector }}
nodeSelector: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .tolerations }}
tolerations: {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{- define "dsnot.container" -}}
imagePullPolicy: {{ .Values.image.pullPolicy }}
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities: {drop: [ALL]}
{{- end }}

{{- define "dsnot.spread" -}}
topologySpreadConstraints:
  - maxSkew: 1
    topologyKey: kubernetes.io/hostname
    whenUnsatisfiable: ScheduleAnyway
    labelSelector:
      matchLabels: {{- include "dsnot.selector" . | nindent 8 }}
{{- end }}

{{- define "dsnot.liveness" -}}
startupProbe:
  exec: {command: [python, -m, service.ops.liveness]}
  periodSeconds: 10
  timeoutSeconds: 10
  failureThreshold: 30
livenessProbe:
  exec: {command: [python, -m, service.ops.liveness]}
  periodSeconds: 15
  timeoutSeconds: 10
{{- end }}
