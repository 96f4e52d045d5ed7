#!/usr/bin/perl
# SPDX-License-Identifier: Apache-2.0
# A registry that lies: lying-registry.pl LAYOUT PORT STATE. Serves the one image of an OCI layout;
# the repository's name says in which way not to. STATE is a directory for what must happen only
# once, and for what was asked. For tests/system/image-fetch.t and image-registry.t.
use strict;
use warnings;
use IO::Socket::INET;
use MIME::Base64;

my ($layout, $port, $state) = @ARGV;
my $server = IO::Socket::INET->new(LocalAddr => '127.0.0.1', LocalPort => $port, Listen => 64,
	ReuseAddr => 1) or die "listen: $!";
$SIG{CHLD} = 'IGNORE';
$SIG{PIPE} = 'IGNORE';

sub slurp { my ($path) = @_; local $/; open my $f, '<:raw', $path or return; return scalar <$f> }

# True the first time only.
sub once { my ($name) = @_; return mkdir "$state/once-$name" }

sub note { my ($line) = @_; open my $f, '>>', "$state/log"; syswrite $f, "$line\n" }

my $index = slurp("$layout/index.json");
my ($manifest_digest) = $index =~ /"digest":"sha256:([0-9a-f]{64})"/;
my $manifest = slurp("$layout/blobs/sha256/$manifest_digest");
my $manifest_type = 'application/vnd.oci.image.manifest.v1+json';

sub answer {
	my ($c, $status, $headers, $body) = @_;
	my $text = "HTTP/1.1 $status X\r\nConnection: close\r\n";
	$text .= "$_\r\n" for @$headers;
	$text .= 'Content-Length: ' . length($body) . "\r\n"
		unless grep { /^Content-Length|^Transfer|^X-No-Length/ } @$headers;
	syswrite $c, "$text\r\n";
	for (my $at = 0; $at < length $body;) {
		my $n = syswrite $c, $body, 65536, $at;
		return unless defined $n;
		$at += $n;
	}
}

# A byte at a time, for as long as anybody listens.
sub trickle {
	my ($c, $text) = @_;
	syswrite $c, $text;
	while (defined syswrite $c, 'x') { select undef, undef, undef, 0.2 }
}

sub http_date {
	my @at = gmtime shift;
	return sprintf '%s, %02d %s %d %02d:%02d:%02d GMT', (qw(Sun Mon Tue Wed Thu Fri Sat))[$at[6]],
		$at[3], (qw(Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec))[$at[4]], $at[5] + 1900,
		@at[2, 1, 0];
}

# The image's layers declared foreign: they are elsewhere, says the manifest.
sub foreign_manifest {
	my ($repo) = @_;
	my $at = "http://127.0.0.1:" . ($port + 1) . ($repo eq 'foreign-secret' ? '/secret' : '/other');
	$at =~ s/:\d+/:9/ if $repo eq 'foreign-far';
	(my $text = $manifest) =~ s{layer\.v1\.tar}{layer.nondistributable.v1.tar}g;
	$text =~ s{("digest":"sha256:([0-9a-f]{64})","size":\d+)(\}[,\]])}{$1,"urls":["$at/$2"]$3}g;
	return $text;
}

sub serve_manifest {
	my ($c, $repo, $what) = @_;
	my $type = "Content-Type: $manifest_type";
	return answer($c, 404, [], '{"errors":[]}') if $repo eq 'notfound';
	return answer($c, 503, [], '') if $repo eq 'broken';
	sleep 60 if $repo eq 'hang';
	return answer($c, 429, ['Retry-After: 1'], '') if $repo eq 'busy' && once('busy');
	return answer($c, 429, ['Retry-After: ' . http_date(time + 2)], '')
		if $repo eq 'busy-date' && once($repo);
	return answer($c, 429, [], '') if $repo eq 'busy-forever';
	return trickle($c, "HTTP/1.1 200 OK\r\nContent-Type: $manifest_type\r\n\r\n") if $repo eq 'loris';
	return trickle($c, "HTTP/1.1 200 OK\r\nX-Long: ") if $repo eq 'loris-headers';
	return answer($c, 302, ["Location: /v2/$repo/manifests/$what"], '') if $repo eq 'circle';
	return answer($c, 302, [], '') if $repo eq 'nowhere';
	return answer($c, 401, [], '') if $repo eq 'unsaid';
	return answer($c, 200, ['Content-Type: text/plain'], $manifest) if $repo eq 'plain';
	if ($repo eq 'recast') { # the index names it as one type, it comes as another
		return answer($c, 200, ['Content-Type: application/vnd.docker.distribution.manifest.v2+json'], $manifest)
			if $what =~ /^sha256:/;
		return answer($c, 200, ['Content-Type: application/vnd.oci.image.index.v1+json'],
			sprintf '{"schemaVersion":2,"manifests":[{"mediaType":"%s","digest":"sha256:%s","size":%d}]}',
			$manifest_type, $manifest_digest, length $manifest);
	}
	return answer($c, 200, [$type], foreign_manifest($repo)) if $repo =~ /^foreign/;
	return answer($c, 200, ['Content-Type: text/html'], '<html>hello</html>')
		if $repo eq 'html';
	return answer($c, 200, ['Content-Type: application/vnd.docker.distribution.manifest.v1+json'],
		'{"schemaVersion":1,"fsLayers":[]}') if $repo eq 'schema1';
	(my $both = $manifest) =~ s/\{/{"manifests":[],/;
	return answer($c, 200, [$type], $both) if $repo eq 'both';
	return answer($c, 200, ['Content-Type: application/vnd.oci.image.index.v1+json'], $manifest)
		if $repo eq 'mistyped';
	return answer($c, 200, [$type], "$manifest\n") if $repo eq 'pinned';
	return answer($c, 200, [$type], ' ' x (5 << 20)) if $repo eq 'endless';
	(my $escape = $manifest) =~ s/"layers":\[\{(.*?)sha256:[0-9a-f]{64}/"layers":[{$1sha256:..\/..\/x/s;
	return answer($c, 200, [$type], $escape) if $repo eq 'traversal';
	(my $other_digest = $manifest) =~ s/"layers":\[\{(.*?)sha256:([0-9a-f]{64})/"layers":[{$1sha512:$2$2/s;
	return answer($c, 200, [$type], $other_digest) if $repo eq 'sha512';
	if ($repo eq 'nested') {
		my $body = slurp("$state/nested-" . ($what =~ /^sha256:(.*)/ ? $1 : 'root'));
		return answer($c, 200, ['Content-Type: application/vnd.oci.image.index.v1+json'], $body);
	}
	answer($c, 200, [$type], $manifest);
}

sub serve_blob {
	my ($c, $repo, $digest, $request) = @_;
	my $path = "/v2/$repo/blobs/sha256:$digest";
	my $body = slurp("$layout/blobs/sha256/$digest");
	my $is_layer = length $body > 65536;
	return answer($c, 404, [], '') unless defined $body;
	return answer($c, 200, [], $body) unless $is_layer;
	note("layer $repo $digest");
	return answer($c, 404, [], '') if $repo =~ /^foreign/;
	select undef, undef, undef, 0.5 if $repo =~ /^share/;
	my $from = $request =~ /\r\nRange: bytes=(\d+)-/i ? $1 : 0;
	note("range $repo $from") if $from;
	if ($repo eq 'held') { # until the test lets it go
		for (1 .. 1200) { last if -e "$state/go"; select undef, undef, undef, 0.1 }
	}
	my ($status, @headers) = (200);
	if ($from) {
		($status, @headers) = (206, sprintf 'Content-Range: bytes %d-%d/%d', $from,
			length($body) - 1, length $body);
		substr $body, 0, $from, '';
	}
	my $half = substr $body, 0, int(length($body) / 2);
	my $whole = 'Content-Length: ' . length $body;
	(my $wrong = $body) =~ tr/\x00-\xff/\x01-\xff\x00/;
	return answer($c, 302, ["Location: $path"], '') if $repo eq 'loop';
	return answer($c, 416, ['Content-Range: bytes */7'], '') if $repo eq 'refuses-range' && $from;
	return answer($c, 200, [$whole], $half) if $repo eq 'refuses-range' && once("$repo-$digest");
	return trickle($c, "HTTP/1.1 200 OK\r\nContent-Length: " . length($body) . "\r\n\r\n")
		if $repo eq 'loris-layer';
	return answer($c, $status, [@headers, $whole], substr $body, 0, 300_000)
		if $repo eq 'drops' && length $body > 300_000;
	if ($repo eq 'pauses' && once("$repo-$digest")) {
		answer($c, $status, [@headers, $whole], $half);
		note("paused $digest");
		sleep 120;
		return;
	}
	# A signed URL: good for one use.
	return answer($c, 302, ["Location: http://127.0.0.1:" . ($port + 1) . "/signed/$digest/" . int rand 1e9], '')
		if $repo eq 'signed';
	return answer($c, 307, ["Location: http://127.0.0.1:" . ($port + 1) . "/other/$digest"], '')
		if $repo eq 'elsewhere';
	return answer($c, 302, ["Location: http://127.0.0.1:9/x"], '') if $repo eq 'unlisted';
	return answer($c, 302, ["Location: file:///etc/passwd"], '') if $repo eq 'file';
	return answer($c, 200, [], $wrong) if $repo eq 'wrong' || ($repo eq 'wrong-once' && once($repo));
	return answer($c, $status, [@headers, $whole], $half)
		if $repo eq 'cut' || ($repo eq 'resume' && once($repo));
	return $from ? answer($c, 206, ['Content-Range: bytes 7-8/9', $whole], $half) : answer($c, 200, [$whole], $half)
		if $repo eq 'range-lies';
	return answer($c, 206, ['Content-Range: bytes 7-8/9', $whole], $half)
		if $repo eq 'bad-range' && $from && once('range');
	return answer($c, 200, [$whole], $half) if $repo eq 'bad-range' && once('bad-range');
	return answer($c, 200, ['X-No-Length: 1'], $half) if $repo eq 'short';
	return answer($c, 200, ['X-No-Length: 1'], $body . $body) if $repo eq 'long';
	answer($c, $status, \@headers, $body);
}

# Repositories that want a token which wants a credential; each answers 401 in the midst of a pull.
sub needs_token {
	my ($c, $repo, $kind, $what, $token) = @_;
	my %servers = (private => "127.0.0.1:$port/private-token", identity => "127.0.0.1:$port/identity-token",
		far => 'localhost:' . ($port + 1) . '/private-token');
	my $server = $servers{$repo} or return 0;
	return 0 if $token eq "Bearer for-$repo" && !($kind eq 'blobs' && once("revoked-$repo"));
	answer($c, 401, ["WWW-Authenticate: Digest nonce=\"a, b=\\\"c\", Bearer realm=\"http://$server?repo=$repo\""], '');
	return 1;
}

sub serve_token {
	my ($c, $request, $path, $token) = @_;
	my ($repo) = $path =~ /repo=([a-z]+)/;
	if ($path =~ m{^/private}) {
		return answer($c, 403, [], '') if $token ne 'Basic ' . encode_base64('user:pass:word', '');
		return answer($c, 403, [], '') unless $path =~ /&scope=repository%3A$repo%3Apull$/;
		return answer($c, 200, [], "{\"token\":\"for-$repo\"}");
	}
	my ($length) = $request =~ /\r\nContent-Length: (\d+)/i or return answer($c, 405, [], '');
	my ($form) = $request =~ /\r\n\r\n(.*)/s;
	while (length $form < $length) { sysread $c, $form, 8192, length $form or return }
	note("form $form");
	return answer($c, 401, [], '') unless $form =~ /grant_type=refresh_token/
		&& $form =~ /refresh_token=the%20identity(&|$)/ && $form =~ /scope=repository%3A$repo%3Apull/;
	return answer($c, 200, [], "{\"access_token\":\"for-$repo\",\"expires_in\":1}");
}

sub serve {
	my ($c, $local) = @_;
	my $request = '';
	while ($request !~ /\r\n\r\n/) { sysread $c, $request, 8192, length $request or return }
	my ($method, $path) = $request =~ m{^(GET|POST) (\S+) } or return;
	my ($token) = $request =~ /\r\nAuthorization: (.*?)\r\n/i;
	note("$local $path " . ($token // '-'));
	return serve_token($c, $request, $path, $token // '') if $path =~ m{^/(identity|private)-token};
	return answer($c, 401, ['WWW-Authenticate: Basic realm="give me"'], '') if $path =~ m{^/secret/};
	if ($path =~ m{^/signed/([0-9a-f]+)/}) {
		return answer($c, 403, [], 'expired') if once("signed-$1");
		return answer($c, 200, [], slurp("$layout/blobs/sha256/$1"));
	}
	return answer($c, 200, [], slurp("$layout/blobs/sha256/$1")) if $path =~ m{^/other/(.*)};
	return answer($c, 200, [], '{"token":"secret","expires_in":300}') if $path =~ m{^/token\?};
	my ($repo, $kind, $what) = $path =~ m{^/v2/([a-z0-9/-]+)/(manifests|blobs)/(\S+)$}
		or return answer($c, 404, [], '');
	my $realm = "Www-Authenticate: Bearer realm=\"http://127.0.0.1:$port/token\","
		. "service=\"a, b\",scope=\"repository:$repo:pull\"";
	return answer($c, 401, ['Www-Authenticate: Basic realm="x"', $realm], '')
		if $repo =~ /^(token|elsewhere)$/ && ($token // '') ne 'Bearer secret';
	return answer($c, 401, [$realm], '') if $repo eq 'never';
	return answer($c, 401, ['Www-Authenticate: Basic realm="x"'], '')
		if $repo eq 'basic' && ($token // '') ne 'Basic ' . encode_base64('user:pass:word', '');
	return if needs_token($c, $repo, $kind, $what, $token // '');
	return serve_manifest($c, $repo, $what) if $kind eq 'manifests';
	serve_blob($c, $repo, $1, $request) if $what =~ /^sha256:(.*)/;
}

# The second port is another host, as far as an HTTP client can tell.
my $other = IO::Socket::INET->new(LocalAddr => '127.0.0.1', LocalPort => $port + 1, Listen => 64,
	ReuseAddr => 1) or die "listen: $!";
for my $extra ($other) {
	next if fork;
	$server = $extra;
	last;
}
while (1) {
	my $c = $server->accept or next;
	if (fork == 0) { serve($c, $server->sockport == $port ? 'home' : 'other'); exit 0 }
	close $c;
}
