#!/usr/bin/perl
# SPDX-License-Identifier: Apache-2.0
# Images from a real registry (Debian's docker-registry), from layouts and archives, and from a
# registry that lies; through the store, in namespaces of the test's own.
use strict;
use warnings;
use Cwd 'abs_path';
use File::Basename 'dirname';
use Test::More;

require(dirname(abs_path($0)) . '/../store.pl');
our ($here, $build, $dir, $layout);

# --- layouts and archives --------------------------------------------------------------------------

my $first = image("oci:$layout:v1");
my $id = id($first);
like($id, qr/^[0-9a-f]{64}$/, 'a layout becomes an image');
like($first, qr{ sha256:[0-9a-f]{64} \Q$dir\E/state/images/squashfs/$id\.sqfs$}, 'it is where it belongs');
is(sprintf('%o %d', (stat "$dir/state/images/squashfs/$id.sqfs")[2, 4]), '100444 0', 'root owns it, nobody writes it');
is(id(image("oci:$layout")), $id, 'the only image of a layout needs no name');
is(files("$dir/state/images/blobs/sha256"), 2, 'manifest and config are kept, layers are not');
quietly("skopeo copy oci:$layout:v1 oci-archive:$dir/oci.tar:v1");
quietly("skopeo copy oci:$layout:v1 docker-archive:$dir/docker.tar:app:1");
is(id(image("oci-archive:$dir/oci.tar:v1")), $id, 'an archive of it is the same image');
quietly("gzip -k $dir/oci.tar");
is(id(image("oci-archive:$dir/oci.tar.gz")), $id, 'so is a compressed one');
my $docker = id(image("docker-archive:$dir/docker.tar:app:1"));
like($docker, qr/^[0-9a-f]{64}$/, 'a docker archive becomes an image');
is(id(image("docker-archive:$dir/docker.tar")), $docker, 'its only image needs no name');
like(image("oci:$layout:v2"), qr/^error 0 no image named 'v2' in the index$/, 'a name that is not there');
like(image("docker-archive:$dir/docker.tar:app:2"), qr/^error 0 .*manifest\.json: no image named 'docker\.io\/library\/app:2'$/, 'nor in an archive');
like(image("oci:$dir/oci.tar"), qr/^error 0 .*Not a directory$/, 'a file is no layout');
like(image("oci-archive:$layout"), qr/^error 0 .*not a file \(a directory is oci:DIR\)$/, 'a directory is no archive');
chmod 0700, "$layout/blobs";
like(image("oci:$layout:v1", state => "$dir/fresh"), qr/^error 0 .*'blobs' is not readable for the image fetcher, which is not root \(chmod -R a\+rX \Q$layout\E\)$/, 'a layout that only root can read');
chmod 0755, "$layout/blobs";
run("head -c 500000 $dir/oci.tar > $dir/cut.tar");
like(image("oci-archive:$dir/cut.tar", state => "$dir/fresh"), qr/^error 0 .*(not a whole tar archive|no '.*' in it)/, 'a truncated archive');
run('cp', '-a', $layout, "$dir/bent");
my ($biggest) = sort { -s $b <=> -s $a } glob "$dir/bent/blobs/sha256/*";
run("printf x | dd of=$biggest bs=1 seek=1000 conv=notrunc status=none");
like(image("oci:$dir/bent:v1", state => "$dir/fresh"), qr/^error 0 blob sha256:.*: its content has another digest$/, 'a blob that was changed');
# Documents without end, and a layer that is something else than its manifest says.
run('cp', '-a', $layout, "$dir/vast");
run("(printf '{\"schemaVersion\":2,\"manifests\":['; head -c 5000000 /dev/zero | tr '\\0' ' '; printf ']}') >$dir/vast/index.json");
like(image("oci:$dir/vast:v1", state => "$dir/fresh"), qr/^error 0 \Q$dir\E\/vast: larger than the 4194304 bytes allowed$/, 'an index of 5 MB');
run("tar -C $dir/vast -cf $dir/vast.tar .");
like(image("oci-archive:$dir/vast.tar:v1", state => "$dir/fresh"), qr/^error 0 \Q$dir\E\/vast\.tar: 'index\.json' is larger than 4194304 bytes$/, 'the same in an archive');
sub recast_layers {
	my ($from, $to) = @_;
	my ($digest) = `cat $layout/index.json` =~ /"digest":"sha256:([0-9a-f]{64})"/;
	run('rm', '-rf', "$dir/recast");
	run('cp', '-a', $layout, "$dir/recast");
	(my $text = `cat $layout/blobs/sha256/$digest`) =~ s/\Q$from\E/$to/g;
	open my $f, '>', "$dir/recast/manifest" or die;
	print $f $text;
	close $f;
	my ($new) = `sha256sum $dir/recast/manifest` =~ /^([0-9a-f]{64})/;
	run('mv', "$dir/recast/manifest", "$dir/recast/blobs/sha256/$new");
	run('sed', '-i', "s/$digest/$new/; s/\"size\":[0-9]*/\"size\":" . length($text) . '/', "$dir/recast/index.json");
}
for my $type (qw(tar tar+zstd)) {
	recast_layers('layer.v1.tar+gzip', "layer.v1.$type");
	like(image("oci:$dir/recast:v1", state => "$dir/fresh"), qr/^error 0 layer sha256:[0-9a-f]{64}: its content is not what its media type says$/, "gzip called $type");
}
is(files("$dir/fresh/images/squashfs"), 0, 'none of these left an image');

# --- what a power loss leaves ------------------------------------------------------------------------

# The order in which names are given and contents brought to the disk: no name comes before what it
# stands for, that of the squashfs after all the others.
my $trace = "$dir/order";
my $traced = `strace -qq -y -e trace=fsync,fdatasync,/^rename -o $trace $build/tests/store_driver ${\ ini(state => "$dir/order-state")} oci:$layout:v1`;
like($traced, qr/^image oci:\Q$layout\E:v1 $id /, 'a pull whose syncs are watched');
my @order;
for (split /\n/, `cat $trace`) {
	push @order, 'sync ' . ($1 =~ s{.*/}{}r) if m{^fsync\(\d+<([^>]*)>\) += 0$};
	push @order, 'name ' . ($1 =~ s{.*/}{}r) if m{^rename.*"([^"]*)"(?:, 0)?\) += 0$};
}
is(join(', ', map { s/$id/ID/r =~ s/\b[0-9a-f]{64}/REF/r =~ s/\b\d+\./N./r } @order),
	'sync ID.json.new, name ID.json, sync squashfs, sync N.notes, name ID.notes, sync N.record, name ID.record, sync squashfs, '
	. 'sync N.sqfs, name ID.sqfs, sync squashfs, sync REF.new, name REF, sync refs', 'contents, names, directories');

# --- a real registry -------------------------------------------------------------------------------

my $registry = start(5000, 'docker-registry', 'serve', registry_config(5000));
quietly("skopeo copy --dest-tls-verify=false oci:$layout:v1 docker://127.0.0.1:5000/team/app:v1");
my %state = (state => "$dir/remote");
my $pulled = image('127.0.0.1:5000/team/app:v1', %state);
is(id($pulled), $id, 'the registry gives the same image');
my ($manifest) = $pulled =~ /(sha256:[0-9a-f]{64})/;
is(id(image("127.0.0.1:5000/team/app\@$manifest", %state)), $id, 'also by digest');
is(files("$dir/remote/images/squashfs"), 4, 'several references, one image: its squashfs, record, notes and facts');
is(id(image("127.0.0.1:5000/team/app:elsewhere\@$manifest", %state)), $id, 'beside which a tag says nothing');
my $other = 'sha256:' . 'a' x 64;
like(image("127.0.0.1:5000/team/app\@$other", %state), qr/^error 0 registry '127\.0\.0\.1:5000': no such image: 'manifests\/\Q$other\E' \(check name and tag\)$/, 'a digest that is not there');
like(image('127.0.0.1:5000/team/app:v2', %state), qr/^error 0 .*no such image/, 'a tag that is not there');
like(image('127.0.0.1:5000/team/app:v1', insecure => '', retries => 0, state => "$dir/fresh"), qr/^error 1 registry '127\.0\.0\.1:5000': .*(SSL|TLS|wrong version)/i, 'without TLS only where it is allowed');

# An index for three platforms, one of them an attestation.
my $raw = `cat $layout/blobs/sha256/${\ substr $manifest, 7}`;
my $entry = sub { my ($os, $arch) = @_; return sprintf '{"mediaType":"application/vnd.oci.image.manifest.v1+json","digest":"%s","size":%d,"platform":{"os":"%s","architecture":"%s"}}', $manifest, length $raw, $os, $arch };
my $arch = { 'x86_64' => 'amd64', 'aarch64' => 'arm64' }->{(split ' ', `uname -m`)[0]};
open my $index, '>', "$dir/index.json";
print $index '{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[', join(',', $entry->('unknown', 'unknown'), $entry->('linux', 's390x'), $entry->('linux', $arch)), ']}';
close $index;
quietly("curl -sf -X PUT -H 'Content-Type: application/vnd.oci.image.index.v1+json' --data-binary \@$dir/index.json http://127.0.0.1:5000/v2/team/app/manifests/multi");
is(id(image('127.0.0.1:5000/team/app:multi', %state)), $id, 'an index leads to the platform');

# TLS, with a certificate of an authority that this mount namespace alone trusts.
quietly("openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=test -addext subjectAltName=DNS:localhost -keyout $dir/key.pem -out $dir/cert.pem");
start(5443, 'docker-registry', 'serve', registry_config(5443, "  tls: {certificate: $dir/cert.pem, key: $dir/key.pem}\n"));
like(image('localhost:5443/team/app:v1', retries => 0, state => "$dir/fresh"), qr/^error 1 registry 'localhost:5443': .*certificate/i, 'a certificate that nobody vouches for');
my $bundle = '/etc/ssl/certs/ca-certificates.crt';
run("mount --make-rprivate / && mount --bind $dir/cert.pem $bundle && chmod 0644 $dir/cert.pem");
is(id(image('localhost:5443/team/app:v1', state => "$dir/tls")), $id, 'over TLS');

kill 'KILL', -$registry;
waitpid $registry, 0;
is(id(image('127.0.0.1:5000/team/app:v1', %state)), $id, 'the registry is down: what was pulled is there');
like(image('127.0.0.1:5000/team/app:v3', %state, retries => 0), qr/^error 1 registry '127\.0\.0\.1:5000': Failed to connect/, 'what was not, is tried again later');

# --- a registry that lies --------------------------------------------------------------------------

run('mkdir', "$dir/lies");
start(6000, $^X, "$here/../fakes/lying-registry.pl", $layout, 6000, "$dir/lies");
sub nest {
	my ($depth) = @_;
	my ($digest, $size) = ($manifest, length $raw);
	my $type = 'manifest';
	for (1 .. $depth) {
		my $text = sprintf '{"schemaVersion":2,"manifests":[{"mediaType":"application/vnd.oci.image.%s.v1+json","digest":"%s","size":%d}]}', $type, $digest, $size;
		open my $f, '>', "$dir/lies/nested";
		print $f $text;
		close $f;
		($digest) = map { "sha256:$_" } `sha256sum $dir/lies/nested` =~ /^([0-9a-f]{64})/;
		($size, $type) = (length $text, 'index');
		run('cp', "$dir/lies/nested", "$dir/lies/nested-" . substr $digest, 7);
		run('cp', "$dir/lies/nested", "$dir/lies/nested-root");
	}
}
nest(3);

my $at = "registry '127\\.0\\.0\\.1:6000': ";
my @cases = (
	[good => qr/^image $id /],
	[token => qr/^image $id /],
	[busy => qr/^image $id /],
	[resume => qr/^image $id /],
	['wrong-once' => qr/^image $id /],
	['bad-range' => qr/^image $id /, 3],
	[elsewhere => qr/^image $id /],
	[never => qr/^error 0 ${at}it refuses with 401 what it asked for \(is the image's name right\? no credential is known for it\)$/],
	[basic => qr/^error 0 ${at}it wants a user's name and a password, and no credential is known for it$/],
	[notfound => qr/^error 0 ${at}no such image/],
	[broken => qr/^error 1 ${at}answer 503 to 'manifests\/1'$/],
	[html => qr/^error 0 manifest:1:1: not valid JSON/],
	[schema1 => qr/^error 0 manifest: Docker's schema 1, which cannot be verified/],
	[both => qr/^error 0 manifest: index and manifest at once, so it is neither$/],
	[mistyped => qr/^error 0 manifest: .*declared as 'application\/vnd\.oci\.image\.index\.v1\+json'/],
	[endless => qr/^error 0 its manifest is larger than 4 MiB$/],
	[traversal => qr/^error 0 manifest: layers\[0\]: 'sha256:\.\.\/\.\.\/x' is not a digest/],
	[sha512 => qr/^error 0 manifest: layers\[0\]: 'sha512:[0-9a-f]{13}\.\.\.' is a digest of SHA-512, not of SHA-256 \(push the image again with sha256 digests\)$/],
	[recast => qr/^error 0 manifest \Q$manifest\E: it comes as 'application\/vnd\.docker\.distribution\.manifest\.v2\+json', but its index says 'application\/vnd\.oci\.image\.manifest\.v1\+json'$/],
	[nowhere => qr/^error 0 ${at}a redirect to nowhere$/],
	[unsaid => qr/^error 0 ${at}it refuses with 401 and does not say what it wants$/],
	['range-lies' => qr/^error 1 ${at}it sends another range than the one asked for$/],
	[nested => qr/^error 0 indexes nested more than 2 deep$/],
	[loop => qr/^error 0 ${at}more than 5 redirects in a row$/],
	[unlisted => qr/^error 0 ${at}a redirect to 'http:\/\/127\.0\.0\.1:9\/x', which is without TLS$/],
	[file => qr/^error 0 ${at}a redirect: 'file:\/\/\/etc\/passwd' is neither http nor https$/],
	[wrong => qr/^error 0 blob sha256:.*: its content has another digest$/],
	[short => qr/^error 0 blob sha256:.*: it is smaller than its manifest says$/],
	[long => qr/^error 0 blob sha256:.*: it is larger than its manifest says$/],
	[cut => qr/^error 1 ${at}/],
);
for my $case (@cases) {
	my ($name, $expected, $retries) = @$case;
	my $answer = image("127.0.0.1:6000/$name:1", state => "$dir/lie-$name", retries => $retries // 1);
	like($answer, $expected, "lies: $name");
	is(files("$dir/lie-$name/images/squashfs") . ' ' . files("$dir/lie-$name/images/refs"), '0 0', "lies: $name left nothing") if $answer =~ /^error/;
}
like(image("127.0.0.1:6000/pinned\@$manifest", state => "$dir/fresh"), qr/^error 0 manifest \Q$manifest\E: its content has another digest$/, 'lies: another manifest than the one pinned');
my $log = `cat $dir/lies/log`;
like($log, qr{^other /other/[0-9a-f]{64} -$}m, 'the token does not follow a redirect to another host');
unlike($log, qr{^other .* Bearer}m, 'never');
like($log, qr/^range resume \d{5,}$/m, 'a broken download goes on where it broke');

# With TLS there is no way back: s_server -HTTP sends files that hold whole answers.
run('mkdir', '-p', "$dir/tls-lies/v2/down/manifests", "$dir/tls-lies/v2/realm/manifests");
sub tls_lie {
	my ($repo, @headers) = @_;
	open my $f, '>', "$dir/tls-lies/v2/$repo/manifests/1" or die;
	print $f map { "$_\r\n" } @headers, 'Content-Length: 0', '';
}
tls_lie('down', 'HTTP/1.0 302 Found', 'Location: http://127.0.0.1:6000/v2/good/manifests/1');
tls_lie('realm', 'HTTP/1.0 401 No', 'WWW-Authenticate: Bearer realm="http://127.0.0.1:6000/token"');
start(7443, 'sh', '-c', "cd $dir/tls-lies && exec openssl s_server -quiet -HTTP -accept 7443 -cert $dir/cert.pem -key $dir/key.pem");
like(image('localhost:7443/down:1', state => "$dir/fresh"), qr/^error 0 registry 'localhost:7443': a redirect to 'http:\/\/127\.0\.0\.1:6000\/v2\/good\/manifests\/1', which is without TLS$/, 'no redirect leads from https to http');
like(image('localhost:7443/realm:1', state => "$dir/fresh"), qr/^error 0 registry 'localhost:7443': it names a token server without TLS, 'http:\/\/127\.0\.0\.1:6000\/token'$/, 'nor does a token come from there');

# --- faults of this host ---------------------------------------------------------------------------

# Starts a request that hangs; returns the store's process, its worker, and where its answer comes.
sub hang {
	my $driver = open(my $out, '-|', "$build/tests/store_driver",
		ini(state => "$dir/fresh", insecure => '127.0.0.1:6000'), '127.0.0.1:6000/hang:1') // die;
	for (1 .. 600) {
		my ($worker) = `cat /proc/$driver/task/$driver/children` =~ /(\d+)/;
		return ($driver, $worker, $out)
			if $worker && `cat /proc/$worker/comm` =~ /stoker-fetch/
			&& `grep Seccomp: /proc/$worker/status` =~ /2/;
		select undef, undef, undef, 0.1;
	}
	die 'no worker';
}

my ($driver, $worker, $out) = hang();
my $status = `cat /proc/$worker/status`;
like($status, qr/^Uid:\t870000\t870000\t870000\t870000$/m, 'the fetcher is not root');
like($status, qr/^CapEff:\t0+$/m, 'and has no capability');
like($status, qr/^CapBnd:\t0+$/m, 'nor a way to get one');
kill 'KILL', $worker;
like(scalar <$out>, qr/^error 127\.0\.0\.1:6000\/hang:1 1 stoker-image was killed by signal 9/, 'a worker that was killed is worth another try');
close $out;
($driver, $worker, $out) = hang();
kill 'KILL', $driver;
close $out;
for (1 .. 100) { last unless -d "/proc/$worker"; select undef, undef, undef, 0.1 }
ok(!-d "/proc/$worker", 'a worker does not outlive its daemon');

run('mkdir', "$dir/full");
run('mount', '-t', 'tmpfs', '-o', 'size=1m', 'none', "$dir/full");
like(image("oci:$layout:v1", state => "$dir/full/state"), qr/^error 1 .*No space left on device/, 'a full disk is an error that may pass');
is(files("$dir/full/state/images/squashfs") . files("$dir/full/state/images/tmp") . files("$dir/full/state/images/refs"), '000', 'and nothing of it is left');
is((grep { /tmp-/ } glob "$dir/full/state/images/blobs/sha256/*") + 0, 0, 'nor half a blob');
run('umount', "$dir/full");
run('mount', '-t', 'tmpfs', '-o', 'size=2600k', 'none', "$dir/full");
like(image("oci:$layout:v1", state => "$dir/full/state"), qr/^error 1 .*No space left on device/, 'the layers fit, the squashfs does not');
is(files("$dir/full/state/images/squashfs") . files("$dir/full/state/images/tmp") . files("$dir/full/state/images/refs"), '000', 'nothing of it is left either');

done_testing();
