{{- /* Environment of a process. component: service, dispatcher, migrate or worker; class: the merged entry of a worker. */ -}}
{{- define "dsnot.environment" -}}
{{- $values := .root.Values -}}
{{- $database := $values.database -}}
{{- $store := $values.store -}}
{{- $isWorker := eq .component "worker" -}}
{{- $secrets := list (list "DSNOT_DATABASE_URL" $database.existingSecret (ternary $database.workerUrlKey $database.urlKey $isWorker)) -}}
{{- if $database.directUrlKey -}}
{{- $directKey := ternary $database.workerDirectUrlKey $database.directUrlKey $isWorker | required "database.workerDirectUrlKey is empty; name the key with the workers' URL past the pooler" -}}
{{- $secrets = append $secrets (list "DSNOT_DATABASE_DIRECT_URL" $database.existingSecret $directKey) -}}
{{- end -}}
{{- if eq .component "migrate" -}}
{{- $secrets = append $secrets (list "DSNOT_WORKER_DATABASE_URL" $database.existingSecret $database.workerUrlKey) -}}
{{- else -}}
{{- $secrets = append $secrets (list "DSNOT_BROKER_URL" $values.broker.existingSecret $values.broker.urlKey) -}}
{{- end -}}
{{- with $store.existingSecret -}}
{{- $secrets = append $secrets (list "AWS_ACCESS_KEY_ID" . (ternary $store.workerAccessKeyIdKey $store.accessKeyIdKey $isWorker)) -}}
{{- $secrets = append $secrets (list "AWS_SECRET_ACCESS_KEY" . (ternary $store.workerSecretAccessKeyKey $store.secretAccessKeyKey $isWorker)) -}}
{{- end -}}
{{- if and $values.secretKey.existingSecret (has .component (list "service" "dispatcher")) -}}
{{- $secrets = append $secrets (list "DSNOT_SECRET_KEY" $values.secretKey.existingSecret $values.secretKey.key) -}}
{{- end -}}
{{- if and $values.mlflow.existingSecret (eq .component "dispatcher") -}}
{{- range $variable, $key := dict "TOKEN" $values.mlflow.tokenKey "USERNAME" $values.mlflow.usernameKey "PASSWORD" $values.mlflow.passwordKey -}}
{{- with $key }}{{ $secrets = append $secrets (list (printf "MLFLOW_TRACKING_%s" $variable) $values.mlflow.existingSecret .) }}{{ end -}}
{{- end -}}
{{- end -}}
{{- if and $values.hub.existingSecret (has .component (list "service" "worker")) -}}
{{- $secrets = append $secrets (list "HF_TOKEN" $values.hub.existingSecret $values.hub.key) -}}
{{- end -}}
{{- $plain := dict
  "DSNOT_ARTIFACT_URL" (required "store.url is empty; name the bucket, such as s3://bucket/prefix" $store.url)
  "DSNOT_MODEL_ROOT" "/models"
  "DSNOT_CACHE_DIR" "/cache"
  "DSNOT_METRICS_HOST" "0.0.0.0"
  "DSNOT_METRICS_PORT" "9464"
-}}
{{- with $store.publicEndpoint }}{{ $_ := set $plain "DSNOT_ARTIFACT_PUBLIC_ENDPOINT" . }}{{ end -}}
{{- with $store.region }}{{ $_ := set $plain "AWS_REGION" . }}{{ end -}}
{{- with $store.endpoint }}{{ $_ := set $plain "AWS_ENDPOINT_URL" . }}{{ end -}}
{{- if hasPrefix "http://" $store.endpoint }}{{ $_ := set $plain "AWS_ALLOW_HTTP" "true" }}{{ end -}}
{{- if and (eq .component "migrate") $store.workerPrincipal }}{{ $_ := set $plain "DSNOT_WORKER_STORE_PRINCIPAL" $store.workerPrincipal }}{{ end -}}
{{- range $name, $_ := $values.env -}}
{{- if hasPrefix "DSNOT_" $name }}{{ fail (printf "env.%s is no variable of a library; set it in settings, or by the value of its own that values.yaml lists" $name) }}{{ end -}}
{{- end -}}
{{- $own := dict -}}
{{- if $isWorker -}}
{{- $_ := set $plain "DSNOT_DEVICE" .class.device -}}
{{- $_ := set $plain "OMP_NUM_THREADS" (toString .class.cpu) -}}
{{- if $values.signing.existingSecret }}{{ $_ := set $plain "DSNOT_SIGNING_KEY" "/signing/key.pem" }}{{ end -}}
{{- $own = .class.settings -}}
{{- end -}}
env:
{{- range $secrets }}
  - name: {{ index . 0 }}
    valueFrom: {secretKeyRef: {name: {{ index . 1 }}, key: {{ index . 2 }}}}
{{- end }}
{{- range $name, $value := mergeOverwrite $plain $values.env $values.settings $own }}
  - {name: {{ $name }}, value: {{ $value | quote }}}
{{- end }}
{{- end }}
