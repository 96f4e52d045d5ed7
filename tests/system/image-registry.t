#!/usr/bin/perl
# SPDX-License-Identifier: Apache-2.0
# What a registry may ask of us and do to us: passwords, tokens, helpers, authorities of its own,
# mirrors, downloads that break, policies. Against Debian's docker-registry with TLS and passwords,
# and against one that lies.
use strict;
use warnings;
use Cwd 'abs_path';
use File::Basename 'dirname';
use MIME::Base64;
use Test::More;

require(dirname(abs_path($0)) . '/../store.pl');
our ($here, $build, $dir, $layout);

sub put {
	my ($path, $text, $mode) = @_;
	open my $f, '>', $path or die "$path: $!";
	print $f $text;
	close $f;
	chmod $mode, $path;
	return $path;
}

# A store of its own each time: nothing that an earlier case left can help.
my $fresh = 0;
sub pull { my ($reference, %with) = @_; return image($reference, state => "$dir/s" . $fresh++, %with) }

sub log_lines { my ($pattern) = @_; return grep { /$pattern/ } `cat $dir/lies/log` }

# Within two minutes.
sub eventually {
	my ($look) = @_;
	for (1 .. 1200) {
		return 1 if $look->();
		select undef, undef, undef, 0.1;
	}
	return 0;
}

my $id = id(image("oci:$layout:v1"));
run('mkdir', "$dir/lies");
start(6000, $^X, "$here/../fakes/lying-registry.pl", $layout, 6000, "$dir/lies");
my $at = "registry '127\\.0\\.0\\.1:6000': ";

# --- passwords and tokens --------------------------------------------------------------------------

my $auth = encode_base64('user:pass:word', '');
my $docker = put("$dir/auth.json", qq({"auths":{"127.0.0.1:6000":{"auth":"$auth"},)
	. qq("127.0.0.1:6000/identity":{"identitytoken":"the identity"},"r.test":{"auth":"!"}}}), 0600);
my %with = (ini => "credentials = $docker");
like(pull('127.0.0.1:6000/basic:1', %with), qr/^image $id /, 'a password is sent to the registry');
like(pull('127.0.0.1:6000/private:1', %with), qr/^image $id /, 'and for a token, again when that is revoked in the midst');
is(scalar log_lines(qr{^home /private-token.* Basic $auth$}), 2, 'each time with the password');
like(pull('127.0.0.1:6000/identity:1', %with), qr/^image $id /, 'an identity token becomes a token');
is(scalar log_lines(qr{^form scope=.*&grant_type=refresh_token&client_id=stoker&refresh_token=the%20identity$}) > 0, 1, 'by a POST');
like(pull('127.0.0.1:6000/private:1'), qr/^error 0 ${at}its token server refuses with 403 \(check the image's name; no credential is known for it\)$/, 'without one it is refused');
like(pull('127.0.0.1:6000/far:1', %with), qr/^error 0 ${at}its token server 'localhost:6001' is of another domain and gets no credential \(token_server in stoker\.ini allows it\)$/, 'a stranger gets no credential');
is(scalar log_lines(qr{^other .*private-token}), 0, 'it was not even asked');
like(pull('127.0.0.1:6000/far:1', ini => "credentials = $docker\n[registry 127.0.0.1:6000]\ntoken_server = localhost:6001"), qr/^image $id /, 'unless the settings say so');
like(pull('127.0.0.1:6000/elsewhere:1', %with), qr/^image $id /, 'a redirect to another host');
like((log_lines(qr{^other /other/}))[0], qr/ -$/, 'gets nothing of it');
like(pull('127.0.0.1:6000/never:1', %with), qr/^error 0 ${at}it refuses with 401 what it asked for \(check the image's name and the credential\)$/, 'a 401 that never ends');
put($docker, qq({"auths":{"127.0.0.1:6000":{"auth":") . encode_base64('user:wrong', '') . '"}}}', 0600);
like(pull('127.0.0.1:6000/basic:1', %with), qr/^error 0 ${at}it refuses with 401 what it asked for/, 'a wrong password');
like(pull('127.0.0.1:6000/private:1', %with), qr/^error 0 ${at}its token server refuses with 403 \(check name and credential\)$/, 'also for a token');

# --- files and helpers -----------------------------------------------------------------------------

my $about = "credentials for '127\\.0\\.0\\.1:6000': ";
chmod 0640, $docker;
like(pull('127.0.0.1:6000/good:1', %with), qr/^error 1 $about\Q$docker\E: open to others than its owner \(chmod 600 \Q$docker\E\)$/, 'a file that others can read');
put($docker, '{"auths":', 0600);
like(pull('127.0.0.1:6000/good:1', %with), qr/^error 1 ${about}credentials:1:\d+: not valid JSON/, 'one that is no JSON');
put($docker, '{"auths":{"127.0.0.1:6000":{"auth":"!"}}}', 0600);
like(pull('127.0.0.1:6000/good:1', %with), qr/^error 1 ${about}auths: 127\.0\.0\.1:6000: 'auth' is not user:password in base64$/, 'an entry that is none');
like(pull('127.0.0.1:6000/good:1', ini => "credentials = $dir/none"), qr/^error 1 $about\Q$dir\E\/none: cannot open: No such file or directory$/, 'no file');

run('mkdir', "$dir/helpers");
put("$dir/helpers/docker-credential-good", "#!/bin/sh\nread -r server\ncat /proc/\$\$/environ | tr '\\0' ' ' >$dir/environ\necho \"\$1 \$server\" >$dir/asked\nprintf '{\"ServerURL\":\"x\",\"Username\":\"user\",\"Secret\":\"pass:word\"}'\n", 0755);
put("$dir/helpers/docker-credential-none", "#!/bin/sh\necho credentials not found in native keychain\nexit 1\n", 0755);
put("$dir/helpers/docker-credential-silent", "#!/bin/sh\nexit 1\n", 0755);
put("$dir/helpers/docker-credential-angry", "#!/bin/sh\necho the vault is sealed\nexit 1\n", 0755);
my $helpers = "credentials = $docker\ncredential_helpers = $dir/helpers";
sub helped {
	my ($name, $repo, $ini) = @_;
	put($docker, qq({"credHelpers":{"127.0.0.1:6000":"$name"}}), 0600);
	return pull("127.0.0.1:6000/$repo:1", ini => $ini // $helpers);
}
like(helped('good', 'basic'), qr/^image $id /, 'a helper is asked');
is(`cat $dir/asked`, "get 127.0.0.1:6000\n", 'as Docker asks it');
unlike(`cat $dir/environ`, qr/STOKER/, 'with a clean environment');
like(helped('none', 'good'), qr/^image $id /, 'one that knows nothing');
my $its = "registry '127\\.0\\.0\\.1:6000': its credential: ";
like(helped('silent', 'good'), qr/^error 1 ${its}the helper says nothing$/, 'one that fails');
like(helped('angry', 'good'), qr/^error 1 ${its}the helper says 'the vault is sealed'$/, 'one that complains');
like(helped('absent', 'good'), qr/^error 1 $about\Q$dir\E\/helpers\/docker-credential-absent: cannot execute: No such file or directory$/, 'one that is not there');
like(helped('../x', 'good'), qr/^error 1 ${about}'\.\.\/x' is not the name of a helper$/, 'one with a path');
like(helped('good', 'basic', "credentials = $docker"), qr/^error 1 $about\Q$docker\E wants the helper 'good' to be asked \(credential_helpers in stoker\.ini allows it\)$/, 'none is run unasked');
put($docker, qq({"credsStore":"none","auths":{"127.0.0.1:6000":{"auth":"$auth"}}}), 0600);
like(pull('127.0.0.1:6000/basic:1', %with), qr/^image $id /, 'a store that may not be asked leaves what the file says');

# Nothing of it is to be seen from outside.
put($docker, qq({"auths":{"127.0.0.1:6000":{"username":"user","password":"pass:word"}}}), 0600);
my $driver = open(my $out, '-|', "$build/tests/store_driver", ini(state => "$dir/hang", %with), '127.0.0.1:6000/hang:1') // die;
my $worker;
ok(eventually(sub {
	($worker) = `cat /proc/$driver/task/$driver/children` =~ /(\d+)/;
	return $worker && `grep Seccomp: /proc/$worker/status` =~ /2/;
}), 'a fetcher with a credential runs');
unlike(`cat /proc/$worker/cmdline /proc/$worker/environ`, qr/pass/, 'neither its command line nor its environment holds it');
is(`cat /proc/$worker/cmdline` =~ /--credential\x00127\.0\.0\.1:6000=\d+\x00/, 1, 'it came through a pipe');
is((grep { readlink($_) =~ /^pipe:/ } glob "/proc/$worker/fd/*") + 0, 0, 'which is read and closed');
like(`cat /proc/$worker/status`, qr/^NoNewPrivs:\t1$/m, 'no new privileges');
kill 'KILL', $driver;
close $out;

# --- TLS and passwords of a real registry ------------------------------------------------------------

sub certificate {
	my ($name) = @_;
	quietly("openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=$name -addext subjectAltName=DNS:localhost -keyout $dir/$name.key -out $dir/$name.pem");
	chmod 0600, "$dir/$name.pem";
}
certificate('house');
certificate('stranger');
put("$dir/htpasswd", 'user:' . crypt('pass:word', '$2y$05$' . 'abcdefghijklmnopqrstuu') . "\n", 0644);
start(5000, 'docker-registry', 'serve', registry_config(5000));
quietly("skopeo copy --dest-tls-verify=false oci:$layout:v1 docker://127.0.0.1:5000/team/app:v1");
start(5444, 'docker-registry', 'serve', registry_config(5444,
	"  tls: {certificate: $dir/house.pem, key: $dir/house.key}\nauth: {htpasswd: {realm: house, path: $dir/htpasswd}}\n"));
put($docker, qq({"auths":{"localhost:5444":{"auth":"$auth"}}}), 0600);
my $real = "registry 'localhost:5444': ";
my $trusted = "[registry localhost:5444]\nca = $dir/house.pem";
like(pull('localhost:5444/team/app:v1', ini => "credentials = $docker\n$trusted"), qr/^image $id /, 'a registry with TLS of its own and passwords');
like(pull('localhost:5444/team/app:v1', ini => $trusted), qr/^error 0 ${real}it wants a user's name and a password, and no credential is known for it$/, 'without a password');
like(pull('localhost:5444/team/app:v1', ini => "credentials = $docker", retries => 0), qr/^error 1 ${real}SSL certificate problem/, 'without its authority');
like(pull('localhost:5444/team/app:v1', ini => "credentials = $docker\n[registry localhost:5444]\nca = $dir/stranger.pem", retries => 0), qr/^error 1 ${real}SSL certificate problem/, 'with that of another');
like(pull('localhost:5444/team/app:v1', ini => "[registry localhost:5444]\nca = $dir/none.pem"), qr/^error 1 ${real}its ca: \Q$dir\E\/none\.pem: No such file or directory$/, 'with none at all');

# --- mirrors -------------------------------------------------------------------------------------------

sub mirrored { my ($registry, $mirrors) = @_; return (ini => "[registry $registry]\nmirrors = $mirrors", retries => 0) }
like(pull('localhost:1/team/app:v1', mirrored('localhost:1', '127.0.0.1:5000')), qr/^image $id /, 'a mirror, and a registry out of reach');
like(pull('localhost:1/app:v1', mirrored('localhost:1', '127.0.0.1:5000/team')), qr/^image $id /, 'one with a path');
like(pull('127.0.0.1:5000/team/app:v1', mirrored('127.0.0.1:5000', 'localhost:1 127.0.0.1:6000/notfound')), qr/^image $id /, 'mirrors that are down, or have it not');
my ($digest) = pull('127.0.0.1:5000/team/app:v1') =~ /(sha256:[0-9a-f]{64})/;
like(pull("127.0.0.1:5000/pinned\@$digest", mirrored('127.0.0.1:5000', '127.0.0.1:6000')), qr/^error 0 .*no such image.*; before that, a mirror's manifest \Q$digest\E: its content has another digest$/, 'a mirror that lies of a digest is passed over');
quietly("skopeo copy --src-tls-verify=false --dest-tls-verify=false docker://127.0.0.1:5000/team/app:v1 docker://127.0.0.1:5000/wrong:1");
like(pull('127.0.0.1:5000/wrong:1', mirrored('127.0.0.1:5000', '127.0.0.1:6000')), qr/^image $id /, 'one that lies of a layer too');
like(pull('localhost:1/team/none:v1', mirrored('localhost:1', '127.0.0.1:5000')), qr/^error 1 registry 'localhost:1': Failed to connect.*; before that, registry '127\.0\.0\.1:5000': no such image: 'manifests\/v1' \(check name and tag\)$/, 'what both say is said');
put($docker, qq({"auths":{"localhost:1":{"auth":"$auth"}}}), 0600);
like(pull('localhost:1/basic:1', ini => "credentials = $docker\n[registry localhost:1]\nmirrors = 127.0.0.1:6000", retries => 0), qr/before that, ${at}it wants a user's name and a password, and no credential is known for it$/, "a mirror does not get the registry's credential");

# --- downloads that break ----------------------------------------------------------------------------

my %quick = (ini => 'stall_timeout = 1s', retries => 0);
for my $repo ('loris', 'loris-headers', 'loris-layer') {
	like(pull("127.0.0.1:6000/$repo:1", %quick), qr/^error 1 ${at}Operation too slow\. Less than 1024 bytes\/sec transferred the last 1 seconds$/, "a byte now and then: $repo");
}
like(pull('127.0.0.1:6000/busy-date:1'), qr/^image $id /, 'a date at which to ask again');
like(pull('127.0.0.1:6000/busy-forever:1', retries => 1), qr/^error 1 ${at}answer 429 to 'manifests\/1'$/, 'patience ends');
like(pull('127.0.0.1:6000/circle:1'), qr/^error 0 ${at}more than 5 redirects in a row$/, 'a circle');
like(pull('127.0.0.1:6000/plain:1'), qr/^error 0 manifest: .*'text\/plain'/, 'a manifest that comes as something else');
like(pull('127.0.0.1:6000/signed:1', retries => 2), qr/^image $id /, 'an address that has expired is asked for anew');
like(pull('127.0.0.1:6000/refuses-range:1', retries => 4), qr/^image $id /, 'a range that is refused: from the beginning');
like(pull('127.0.0.1:6000/drops:1', retries => 9), qr/^image $id /, 'a connection that breaks every 300,000 bytes');
my @ranges = map { /(\d+)$/ } log_lines(qr/^range drops /);
is(scalar(grep { $_ % 300_000 } @ranges), 0, 'each time it goes on where it broke');
cmp_ok(scalar @ranges, '>=', 4, 'twice for each layer at least');

# Across a daemon that is killed: the parts stay.
my %kept = (state => "$dir/kept", retries => 0);
$driver = open($out, '-|', "$build/tests/store_driver", ini(%kept), '127.0.0.1:6000/pauses:1') // die;
ok(eventually(sub { log_lines(qr/^paused/) == 2 }), 'both layers are half here');
my $cache = "$dir/kept/images/blobs/sha256";
sub half_here { my @parts = grep { -s $_ > 400_000 } glob "$cache/part-*"; return @parts == 2 }
ok(eventually(\&half_here), 'and written');
kill 'KILL', $driver;
close $out;
ok(half_here(), 'they survive the daemon');
like(image('127.0.0.1:6000/pauses:1', %kept), qr/^image $id /, 'the next one pulls the rest');
is(scalar log_lines(qr/^range pauses \d{6}$/), 2, 'and no more than the rest');
is(join(' ', grep { m{/(part|tmp)-} } glob "$cache/*"), '', 'no part is left');
my $old = put("$cache/part-" . 'a' x 64, 'x', 0600);
my $new = put("$cache/part-" . 'b' x 64, 'x', 0600);
utime time - 90000, time - 90000, $old;
image("oci:$layout:v1", %kept);
ok(!-e $old && -e $new, 'a part that nobody came back to goes after a day');

# A host that went down: names in the cache that outlived what they stood for. The manifest is torn,
# the config empty, the lower layer zeros from its middle on; the top layer is a part, whole by its
# size and zeros by its content.
sub digest_of { my ($path) = @_; return (split ' ', `sha256sum $path`)[0] }
my $torn = "$dir/torn/images/blobs/sha256";
run('mkdir', '-p', $torn);
run("cp $layout/blobs/sha256/* $torn/");
my ($top, $low) = sort { $b cmp $a } map { s{.*/}{}r } grep { -s $_ > 65536 } glob "$torn/*";
truncate $_, -s $_ > 500 ? 100 : 0 for grep { -s $_ < 65536 } glob "$torn/*";
for ([ $low, 2 ], [ $top, 8 ]) {
	my ($name, $part) = @$_;
	my $size = -s "$torn/$name";
	truncate "$torn/$name", int($size / $part);
	truncate "$torn/$name", $size;
}
rename "$torn/$top", "$torn/part-$top";
run('chown', '-R', '870000:870000', $torn);
like(image('127.0.0.1:6000/torn:1', state => "$dir/torn", retries => 0), qr/^image $id /, 'what a power loss tore is found out, and fetched again');
is(join(' ', sort map { (split)[2] } log_lines(qr/^layer torn/)), join(' ', sort $top, $low), 'each layer once, from its start');
is(join(' ', grep { digest_of($_) ne s{.*/}{}r } glob "$torn/*"), '', 'manifest and config are whole again');

# --- one download serves all -------------------------------------------------------------------------

my %answers = %{ask(state => "$dir/shared", references => ['127.0.0.1:6000/share-a:1', '127.0.0.1:6000/share-b:1', '127.0.0.1:6000/share-b:1'])};
is(id($_), $id, 'two names of one image at once') for values %answers;
my @layers = sort map { (split)[2] } log_lines(qr/^layer share/);
is(scalar @layers, 2, 'each layer was sent once');
isnt($layers[0], $layers[1], 'to one of them');

# --- several at once, the top one first --------------------------------------------------------------

# Six layers; the registry holds all answers back.
sub many_layers {
	my ($image) = @_;
	quietly("umoci init --layout $image && umoci new --image $image:v1");
	for my $layer (1 .. 6) {
		quietly("umoci unpack --image $image:v1 $dir/bundle");
		run("head -c 100000 /dev/urandom > $dir/bundle/rootfs/file$layer");
		quietly("umoci repack --image $image:v1 $dir/bundle && rm -rf $dir/bundle");
	}
	quietly("umoci gc --layout $image && chmod -R a+rX $image");
	my ($top) = `cat $image/index.json` =~ /"digest":"sha256:([0-9a-f]{64})"/;
	return `cat $image/blobs/sha256/$top` =~ /layer[^{]*?"digest":"sha256:([0-9a-f]{64})"/g;
}
my @stack = many_layers("$dir/stack");
is(scalar @stack, 6, 'an image of six layers');
run('mkdir', "$dir/stack-lies");
start(6100, $^X, "$here/../fakes/lying-registry.pl", "$dir/stack", 6100, "$dir/stack-lies");
sub held { return map { (split)[2] } grep { /^layer held/ } `cat $dir/stack-lies/log 2>/dev/null` }
$driver = open($out, '-|', "$build/tests/store_driver", ini(state => "$dir/held", insecure => '127.0.0.1:6100'), '127.0.0.1:6100/held:1') // die;
ok(eventually(sub { held() == 3 }), 'three are asked for');
my @first = held();
is(join(' ', sort @first), join(' ', sort @stack[3 .. 5]), 'those on top');
select undef, undef, undef, 0.5;
is(scalar held(), 3, 'and no more while none has come');
put("$dir/stack-lies/go", '', 0600);
like(scalar <$out>, qr/^image 127\.0\.0\.1:6100\/held:1 /, 'all of them come');
close $out;
is(join(' ', sort +held()), join(' ', sort @stack), 'each once');

# --- layers that are elsewhere -----------------------------------------------------------------------

my $layer = qr/layer sha256:[0-9a-f]{64}/;
like(pull('127.0.0.1:6000/foreign:1'), qr/^error 0 $layer is not in the registry but at 'http:\/\/127\.0\.0\.1:6001\/other\/[0-9a-f]{64}' \(foreign_layers in stoker\.ini allows it\)$/, 'a foreign layer is not fetched unasked');
is(scalar log_lines(qr{^other /other/.* -$}) > 0, 1, 'the log of that host');
my %foreign = (ini => "foreign_layers = yes\ncredentials = $docker");
put($docker, qq({"auths":{"127.0.0.1:6000":{"auth":"$auth"},"127.0.0.1:6001":{"auth":"$auth"}}}), 0600);
like(pull('127.0.0.1:6000/foreign:1', %foreign), qr/^image $id /, 'unless the settings say so');
like(pull('127.0.0.1:6000/foreign-secret:1', %foreign), qr/^error 0 'http:\/\/127\.0\.0\.1:6001\/secret\/[0-9a-f]{64}': it refuses with 401, and nothing is sent there to convince it$/, 'what wants a password there gets none');
is(scalar log_lines(qr{^other .*(Basic|Bearer)}) - scalar(log_lines(qr{^other /private-token})), 0, 'no credential ever went there but the one that was allowed');
like(pull('127.0.0.1:6000/foreign-far:1', %foreign), qr/^error 0 $layer is at 'http:\/\/127\.0\.0\.1:9\/other\/[0-9a-f]{64}', which is without TLS$/, 'nor is it fetched without TLS');

# --- policies ----------------------------------------------------------------------------------------

my %policy = (state => "$dir/policy", retries => 0);
like(image('never:127.0.0.1:6000/good:1', %policy), qr/^error 0 '127\.0\.0\.1:6000\/good:1' is not on this host, and pull_policy is never$/, 'never');
like(image('127.0.0.1:6000/good:1', %policy), qr/^image $id /, 'missing');
my $asked = () = log_lines(qr{/good/manifests});
like(image('never:127.0.0.1:6000/good:1', %policy), qr/^image $id /, 'never, when it is there');
like(image('127.0.0.1:6000/good:1', %policy), qr/^image $id /, 'missing, when it is there');
is(scalar log_lines(qr{/good/manifests}), $asked, 'nobody is asked');
my $fetched = () = log_lines(qr{^layer good});
like(image('always:127.0.0.1:6000/good:1', %policy), qr/^image $id /, 'always');
is(scalar log_lines(qr{/good/manifests}), $asked + 1, 'asks each time');
is(scalar log_lines(qr{^layer good}), $fetched, 'and fetches only what is new');
my $lz4 = image('always:127.0.0.1:6000/good:1', %policy, ini => "[image]\ncompress = lz4");
isnt(id($lz4), $id, 'what is to be compressed in another way is another image');
like($lz4, qr/^image /, 'for which all is fetched');

# --- the fetcher's walls -----------------------------------------------------------------------------

my @outside = grep { !m{^\Q$dir\E/[^/]+/images/blobs/sha256(/|$)} } split /\n/, `find $dir /tmp /var/tmp /dev/shm -xdev -uid 870000 2>/dev/null`;
is("@outside", '', 'nothing outside a cache belongs to the fetcher');
for my $state (glob "$dir/s[0-9]*") {
	my @left = map { s{.*/}{}r } grep { m{/(tmp-|part-)} } glob "$state/images/blobs/sha256/*";
	my @halves = glob "$state/images/tmp/*";
	ok(!@halves, "half an image in $state") if @halves;
	is(scalar(grep { /^tmp-/ } @left), 0, "half a blob in $state") if grep { /^tmp-/ } @left;
}

done_testing();
