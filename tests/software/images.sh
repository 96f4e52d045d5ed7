# shellcheck shell=sh
# SPDX-License-Identifier: Apache-2.0
# The images of software.t: one Debian as the lowest layer of four, each with a layer of settings of
# its own, made as somebody would who writes a Dockerfile; and one from scratch.

# software_image NAME UPPER CONFIG: an OCI layout $work/images/NAME, of $base_blob and the directory
# UPPER, whose owners count. CONFIG is the JSON of the image's "config" member.
software_image() {
	layout=$work/images/$1
	mkdir -p "$layout/blobs/sha256"
	ln "$base_blob" "$layout/blobs/sha256/$base_hash"
	tar -C "$2" --numeric-owner --sort=name --mtime=@1700000000 -cf "$layout/layer" .
	upper=$(oci_blob "$layout" "$layout/layer")
	printf '{"architecture":"%s","os":"linux","config":%s,"rootfs":{"type":"layers","diff_ids":["sha256:%s","sha256:%s"]}}' \
		"$(dpkg --print-architecture)" "$3" "$base_hash" "${upper% *}" >"$layout/config"
	config=$(oci_blob "$layout" "$layout/config")
	type=application/vnd.oci.image
	printf '{"schemaVersion":2,"mediaType":"%s","config":{"mediaType":"%s","digest":"sha256:%s","size":%s},"layers":[{"mediaType":"%s","digest":"sha256:%s","size":%s},{"mediaType":"%s","digest":"sha256:%s","size":%s}]}' \
		$type.manifest.v1+json $type.config.v1+json ${config% *} ${config#* } \
		$type.layer.v1.tar "$base_hash" "$(stat -c %s "$base_blob")" \
		$type.layer.v1.tar ${upper% *} ${upper#* } >"$layout/manifest"
	manifest=$(oci_blob "$layout" "$layout/manifest")
	printf '{"imageLayoutVersion":"1.0.0"}' >"$layout/oci-layout"
	printf '{"schemaVersion":2,"manifests":[{"mediaType":"%s","digest":"sha256:%s","size":%s}]}' \
		$type.manifest.v1+json ${manifest% *} ${manifest#* } >"$layout/index.json"
}

# As its official image has it: messages to the streams, an orderly end by SIGQUIT.
image_nginx() {
	mkdir -p "$1/etc/nginx/conf.d" "$1/var/log/nginx" "$1/etc/nginx/sites-enabled"
	ln -s /dev/stdout "$1/var/log/nginx/access.log"
	ln -s /dev/stderr "$1/var/log/nginx/error.log"
	cat >"$1/etc/nginx/sites-enabled/default" <<-'EOF'
		server {
			listen 80;
			listen [::]:80;
			root /var/www/html;
			index index.nginx-debian.html;
			location /app/ { proxy_pass http://app:8000/; }
		}
	EOF
	software_image nginx "$1" '{
		"Entrypoint": ["nginx", "-g", "daemon off;"], "StopSignal": "SIGQUIT",
		"Env": ["PATH=/usr/sbin:/usr/bin:/sbin:/bin"], "ExposedPorts": {"80/tcp": {}}}'
}

# The directory of its data belongs to its user, who is named; VOLUME is what a manifest gives a disk.
image_redis() {
	mkdir -p "$1/data"
	chown "$(id_of redis u):$(id_of redis g)" "$1/data"
	chmod 750 "$1/data"
	software_image redis "$1" '{
		"Entrypoint": ["redis-server", "--bind", "* -::*", "--protected-mode", "no"],
		"Cmd": ["--appendonly", "yes", "--appendfsync", "always"],
		"User": "redis", "WorkingDir": "/data", "Volumes": {"/data": {}}, "ExposedPorts": {"6379/tcp": {}}}'
}

# A Python web application behind a WSGI server with two workers, as nobody in particular.
image_app() {
	mkdir -p "$1/app"
	cat >"$1/app/app.py" <<-'EOF'
		import getpass
		import os

		import flask
		import redis

		app = flask.Flask(__name__)
		store = redis.Redis(host=os.environ["REDIS_HOST"])


		@app.get("/count")
		def count():
		    return f"{store.incr('visits')}\n"


		@app.get("/who")
		def who():
		    return f"{getpass.getuser()} in {os.getcwd()} by {flask.request.headers['Host']}\n"
	EOF
	software_image app "$1" '{
		"Entrypoint": ["gunicorn", "--workers", "2", "--bind", "[::]:8000"], "Cmd": ["app:app"],
		"Env": ["REDIS_HOST=redis"], "User": "www-data", "WorkingDir": "/app"}'
}

# What runs once at the start and every minute, and speaks to the system log alone.
image_cron() {
	mkdir -p "$1/etc/cron.d"
	cat >"$1/etc/cron.d/beat" <<-'EOF'
		@reboot root logger -t beat -p local3.notice started by $(id -un)
		* * * * * games logger -t beat -p local3.warning minute by $(id -un)
	EOF
	software_image cron "$1" '{"Entrypoint": ["cron", "-f", "-L", "15"]}'
}

# One static binary and a page: no shell, no libc, no /etc/passwd, no directory for anything else.
image_scratch() {
	mkdir -p "$1/srv"
	cp "$(command -v busybox)" "$1/httpd"
	echo from-scratch >"$1/srv/index.html"
	oci_image "$work/images/scratch" "$1" '{
		"Entrypoint": ["/httpd", "-f", "-p", "8080", "-h", "/srv"], "User": "65534:65534"}'
}

# id_of USER u|g: as the Debian has it.
id_of() {
	tar -xOf "$debian" ./etc/passwd | awk -F: -v user="$1" -v field="$2" \
		'$1 == user { print field == "u" ? $3 : $4 }'
}

software_images() {
	base_blob=$work/base
	cp "$debian" "$base_blob"
	base_hash=$(sha256sum <"$base_blob" | cut -d' ' -f1)
	for image in nginx redis app cron scratch; do
		mkdir -p "$work/upper/$image"
		"image_$image" "$work/upper/$image"
	done
}
