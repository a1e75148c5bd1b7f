#!/usr/bin/env python3
"""Puts the same requests to `files`, `python -m http.server`, nginx and caddy, on the same folder, and writes the table of
COMPARISON.md. With --throughput, measures `files` beside nginx instead.

    cargo build --release -p apps
    apps/files/compare.py > apps/files/COMPARISON.md
    apps/files/compare.py --throughput 3

Servers that are not installed are left out. All listen on free ports of 127.0.0.1, and are ended at the end.
"""

import argparse
import gzip
import os
import pathlib
import re
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.parse

REPOSITORY = pathlib.Path(__file__).resolve().parents[2]
PATIENCE = 2.0  # seconds for an answer

NGINX = """
daemon off;
pid {work}/nginx.pid;
error_log {work}/nginx.log;
worker_processes {workers};
events {{ worker_connections 512; }}
http {{
    include /etc/nginx/mime.types;
    access_log off;
    sendfile on;
    tcp_nopush on;
    keepalive_requests 1000000000;
    client_body_temp_path {work}/body; proxy_temp_path {work}/proxy; fastcgi_temp_path {work}/fastcgi;
    uwsgi_temp_path {work}/uwsgi; scgi_temp_path {work}/scgi;
    server {{
        listen 127.0.0.1:{port};
        root {root};
        index index.html index.htm;
        autoindex on;
        gzip_static on;
        disable_symlinks off;
    }}
}}
"""

CADDY = """
{{
    admin off
    auto_https off
}}
http://:{port} {{
    bind 127.0.0.1
    root * {root}
    file_server browse {{
        precompressed br gzip
    }}
}}
"""


def make_tree(root):
    """The folder that all serve."""
    old = time.time() - 1000
    files = {
        "ten.txt": b"0123456789",
        "empty.txt": b"",
        "a.js": b"plain" * 100,
        "a.js.gz": gzip.compress(b"plain" * 100, mtime=0),
        "LICENSE": b"text without an extension\n",
        "site/index.html": b"<h1>Home</h1>",
        "old/index.htm": b"<h1>Old</h1>",
        "dir/deep.txt": b"deep",
        ".hidden": b"hidden",
        "a b?#%.txt": b"odd",
        "\u83dc\u5355.txt": b"odd",
        "a\\b.txt": b"odd",
    }
    for name, content in files.items():
        path = root / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(content)
        os.utime(path, (old, old))
    with open(os.fsencode(root) + b"/bad\xff.txt", "wb") as file:
        file.write(b"odd")
    (root.parent / "secret").write_bytes(b"secret")
    (root / "out").symlink_to(root.parent / "secret")
    (root / "in").symlink_to("ten.txt")
    os.mkfifo(root / "fifo")


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Server:
    """A server that runs."""

    def __init__(self, name, command, port, version, **how):
        self.name, self.port, self.version = name, port, version
        self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, **how)
        deadline = time.time() + 10
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
                return
            except OSError:
                if time.time() > deadline or self.process.poll() is not None:
                    raise SystemExit(f"{name} does not start: {command}")
                time.sleep(0.05)

    def stop(self):
        self.process.terminate()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


def output(*command):
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return (done.stdout + done.stderr).strip()


def start_ours(program, root, server="mio"):
    port = free_port()
    command = [program, "files", str(root), "--bind", f"127.0.0.1:{port}", "--server", server, "--access-log", "none"]
    return Server(f"files ({server})", command, port, output(program, "--version"))


def start_nginx(root, work, workers=1):
    port = free_port()
    config = work / "nginx.conf"
    user = "user root;" if os.geteuid() == 0 else ""  # or its workers could not read the folder
    config.write_text(user + NGINX.format(work=work, port=port, root=root, workers=workers))
    return Server("nginx", ["nginx", "-c", str(config)], port, output("nginx", "-v").split("/")[-1])


def start_others(root, work):
    port = free_port()
    command = [sys.executable, "-m", "http.server", "--bind", "127.0.0.1", "--directory", str(root), str(port)]
    yield Server("http.server", command, port, f"CPython {sys.version.split()[0]}")
    if shutil.which("nginx"):
        yield start_nginx(root, work)
    if shutil.which("caddy"):
        port = free_port()
        config = work / "Caddyfile"
        config.write_text(CADDY.format(port=port, root=root))
        environ = dict(os.environ, XDG_DATA_HOME=str(work), XDG_CONFIG_HOME=str(work), HOME=str(work))
        command = ["caddy", "run", "--adapter", "caddyfile", "--config", str(config)]
        yield Server("caddy", command, port, output("caddy", "version").split()[0], env=environ)


def ask(server, method, target, fields):
    """The answer to a request that nobody has tidied up: status, fields in lower case, content; or why there is none."""
    lines = [f"{method} {target} HTTP/1.1", "Host: localhost", "Connection: close"]
    lines += [f"{name}: {value}" for name, value in fields.items()]
    if method == "POST":
        lines.append("Content-Length: 0")
    answer = b""
    try:
        with socket.create_connection(("127.0.0.1", server.port), PATIENCE) as connection:
            connection.sendall(("\r\n".join(lines) + "\r\n\r\n").encode("latin-1"))
            while part := connection.recv(1 << 16):
                answer += part
    except TimeoutError:
        return "hangs"
    except OSError:
        pass
    if not answer:
        return "closes"
    head, _, content = answer.partition(b"\r\n\r\n")
    status, *lines = head.decode("latin-1").split("\r\n")
    fields = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
    return int(status.split()[1]), fields, content


def show(answer):
    """An answer in a few words."""
    if isinstance(answer, str):
        return answer
    status, fields, _ = answer
    words = [str(status)]
    location = fields.get("location", "")
    if location:
        host = "" if location.startswith("/") and not location.startswith("//") else " **another host?**"
        if location.startswith("http://localhost"):
            host = " (absolute)"
        words.append("to " + (urllib.parse.urlsplit(location)._replace(scheme="", netloc="").geturl() or "/") + host)
    kind = fields.get("content-type", "")
    if status == 206 and kind.startswith("multipart/"):
        words.append("multipart")
    elif "content-range" in fields:
        words.append(fields["content-range"].replace("bytes ", ""))
    if "content-encoding" in fields:
        words.append(fields["content-encoding"])
    if status == 405:
        words.append("Allow" if "allow" in fields else "no Allow")
    return " ".join(words)


def etag_and_date(server, target):
    answer = ask(server, "GET", target, {})
    fields = {} if isinstance(answer, str) else answer[1]
    return fields.get("etag", '"none"'), fields.get("last-modified", "")


# What is asked: a heading, or method, target, fields ({etag} and {date} are the server's own), and why `files` answers as it
# does where others do not.
REQUESTS = [
    "Ranges of ten bytes",
    ("GET", "/ten.txt", {"Range": "bytes=0-4"}, ""),
    ("GET", "/ten.txt", {"Range": "bytes=-1"}, ""),
    ("GET", "/ten.txt", {"Range": "bytes=5-"}, ""),
    ("GET", "/ten.txt", {"Range": "bytes=0-1,8-9"}, ""),
    ("GET", "/ten.txt", {"Range": "bytes=10-"}, ""),
    ("GET", "/ten.txt", {"Range": "bytes=-0"}, "a valid range without bytes is unsatisfiable (RFC 9110 section 14.1.2)"),
    ("GET", "/ten.txt", {"Range": "bytes=4-3"}, "an invalid range is ignored (RFC 9110 section 14.2), not an error"),
    ("GET", "/ten.txt", {"Range": "bytes=abc"}, "an invalid range is ignored"),
    ("GET", "/ten.txt", {"Range": "lines=0-1"}, "an unknown unit must be ignored"),
    ("GET", "/ten.txt", {"Range": "bytes=0-4,3-8"}, "overlapping ranges cost more than the file (CVE-2011-3192)"),
    ("GET", "/ten.txt", {"Range": "bytes=" + ",".join(["0-0"] * 100)}, "a hundred parts cost more than the file"),
    ("GET", "/empty.txt", {"Range": "bytes=0-"}, "an empty file has no first byte"),
    ("HEAD", "/ten.txt", {"Range": "bytes=0-4"}, "ranges are defined for GET only: they must be ignored"),
    ("GET", "/ten.txt", {"Range": "bytes=0-4", "If-Range": "{etag}"}, ""),
    ("GET", "/ten.txt", {"Range": "bytes=0-4", "If-Range": '"other"'}, ""),
    ("GET", "/ten.txt", {"Range": "bytes=0-4", "If-Range": "{date}"}, ""),
    "Conditions",
    ("GET", "/ten.txt", {"If-None-Match": "{etag}"}, ""),
    ("GET", "/ten.txt", {"If-None-Match": '"x", W/{etag}'}, ""),
    ("GET", "/ten.txt", {"If-None-Match": "*"}, ""),
    ("GET", "/ten.txt", {"If-Modified-Since": "{date}"}, ""),
    ("GET", "/ten.txt", {"If-None-Match": '"x"', "If-Modified-Since": "{date}"}, "the tag decides, the date is ignored"),
    ("GET", "/ten.txt", {"If-Match": '"x"'}, ""),
    ("GET", "/ten.txt", {"If-Match": "W/{etag}"}, ""),
    ("GET", "/ten.txt", {"If-Unmodified-Since": "Sun, 06 Nov 1994 08:49:37 GMT"}, ""),
    ("GET", "/nothing", {"If-None-Match": "*"}, ""),
    "Folders",
    ("GET", "/dir/", {}, ""),
    ("GET", "/site/", {}, ""),
    ("GET", "/old/", {}, ""),
    ("GET", "/dir", {}, "the path only, so that it holds behind any proxy; nginx writes its own scheme, host and port"),
    ("GET", "/dir?x=1", {}, "as for /dir; and the query belongs to the URL"),
    ("GET", "//dir", {}, "one URL for one folder: empty segments are taken out by the redirect"),
    ("GET", "/dir//deep.txt", {}, "one URL for one file"),
    ("GET", "//evil.example/%2e%2e/dir", {}, "dots are not resolved: browsers have done so"),
    ("GET", "/ten.txt/", {}, ""),
    "Ways out",
    ("GET", "/../secret", {}, "a path with dots is that of no file; 404 tells least"),
    ("GET", "/%2e%2e/secret", {}, "the same"),
    ("GET", "/dir/..%2f..%2fsecret", {}, "the same"),
    ("GET", "/dir/../ten.txt", {}, "dots are not resolved: one file has one path, for layers that guard paths"),
    ("GET", "/dir%2fdeep.txt", {}, "an encoded slash is no separator (RFC 3986 section 2.2)"),
    ("GET", "/ten.txt%00", {}, "the server refuses it, before any application"),
    ("GET", "/out", {}, "links that lead out of the folder are not followed, unless by option"),
    ("GET", "/in", {}, ""),
    ("GET", "/.hidden", {}, "names with a dot are not served, unless by option"),
    ("GET", "/fifo", {}, "is not opened; http.server waits for a writer, in a thread for each request"),
    "Names",
    ("GET", "/a%20b%3F%23%25.txt", {}, ""),
    ("GET", "/%E8%8F%9C%E5%8D%95.txt", {}, ""),
    ("GET", "/bad%FF.txt", {}, ""),
    ("GET", "/a%5Cb.txt", {}, "a backslash is a letter like others here"),
    ("GET", "/%zz", {}, "a broken escape is a bad request"),
    "Codings and methods",
    ("GET", "/a.js", {"Accept-Encoding": "gzip"}, ""),
    ("GET", "/a.js", {"Accept-Encoding": "gzip;q=0"}, ""),
    ("GET", "/a.js", {"Accept-Encoding": "br"}, ""),
    ("POST", "/ten.txt", {}, "known, and not allowed; 405 must tell what is"),
    ("OPTIONS", "/ten.txt", {}, "tells what is allowed"),
    ("BREW", "/ten.txt", {}, "unknown"),
]

# What a table of statuses does not show.
NOTES = """
Beyond the table, `files` differs on purpose in this:

- **Types.** `charset=utf-8` for text, and `X-Content-Type-Options: nosniff` always. A file whose extension tells nothing is
  looked at: text is `text/plain`, so that `LICENSE` and `Makefile` open in a browser; else `application/octet-stream`. The
  others go by the extension only.
- **Cache-Control: no-cache** unless told otherwise: a reload asks, and is told 304. The others leave it to the browser's
  guess, which is why a changed file is not seen at once.
- **Vary: Accept-Encoding** on every file, whether it has a sibling or not: a cache that was asked before the sibling was
  there must know.
- **The tag** is of the time in nanoseconds, the length and the inode, and weak for two seconds after a change; nginx' is of
  the seconds and the length, and always strong, so two changes within a second look the same to it.
- **The listing** is sorted as people count, can be sorted by each column, says sizes and times, opens names of any bytes,
  fits a phone and follows the dark mode; none of it with scripts. That of http.server has names only, that of nginx cannot
  be sorted; caddy's is comparable.
"""


def compare(program):
    with tempfile.TemporaryDirectory() as work:
        work = pathlib.Path(work)
        root = work / "root"
        root.mkdir()
        make_tree(root)
        servers = []
        try:
            servers.append(start_ours(program, root))
            servers += start_others(root, work)
            print("# `files` beside others\n")
            print("Written by [compare.py](compare.py): the same requests, byte for byte, to each server on the same folder.")
            print("Each runs as it is installed, with listings on, and siblings on where there are any.\n")
            print(", ".join(f"{server.name}: {server.version}" for server in servers) + ".")
            differences = {server.name: 0 for server in servers[1:]}
            for row in REQUESTS:
                if isinstance(row, str):
                    print(f"\n## {row}\n")
                    print("| request | " + " | ".join(server.name for server in servers) + " | why |")
                    print("|---|" + "---|" * len(servers) + "---|")
                    continue
                method, target, fields, why = row
                cells = []
                for server in servers:
                    etag, date = etag_and_date(server, target) if "{" in str(list(fields.values())) else ("", "")
                    own = {name: value.replace("{etag}", etag).replace("{date}", date) for name, value in fields.items()}
                    cells.append(show(ask(server, method, target, own)))
                unlike = [server.name for server, cell in zip(servers, cells) if cell != cells[0]]
                for name in unlike:
                    differences[name] += 1
                if unlike == ["http.server"]:
                    why = "http.server alone: it does not know this"
                elif unlike and not why:
                    raise SystemExit(f"{method} {target} {fields}: {cells}, and nobody says why")
                shown = " ".join(f"`{name}: {value}`" for name, value in fields.items())
                shown = re.sub(r"(0-0,){9,}", "0-0, 98 times more, ", shown)
                request = f"`{'' if method == 'GET' else method + ' '}{target}` {shown}".strip().replace("|", "\\|")
                print(f"| {request} | " + " | ".join(cells) + f" | {why if unlike else ''} |")
            asked = sum(not isinstance(row, str) for row in REQUESTS)
            counts = ", ".join(f"{name} {count}" for name, count in differences.items())
            print(f"\nOf {asked} requests others answer so many in another way: {counts}.")
            print(NOTES.rstrip())
        finally:
            for server in servers:
                server.stop()


def throughput(program, seconds, rounds=3):
    """Requests per second of a file of 1 KiB and of one of 100 MiB, `files` beside nginx, in turn."""
    with tempfile.TemporaryDirectory(dir="/dev/shm" if os.path.isdir("/dev/shm") else None) as work:
        work = pathlib.Path(work)
        root = work / "root"
        root.mkdir()
        (root / "small.bin").write_bytes(os.urandom(1024))
        (root / "large.bin").write_bytes(os.urandom(1 << 20) * 100)
        servers = [start_nginx(root, work, workers=os.cpu_count())]
        try:
            servers += [start_ours(program, root, name) for name in ("mio", "threaded")]
            for name, connections in (("small.bin", 32), ("large.bin", 4)):
                figures = {server.name: [] for server in servers}
                for _ in range(rounds):
                    for server in servers:
                        url = f"http://127.0.0.1:{server.port}/{name}"
                        wrk = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--timeout", "30s", url]
                        said = output(*wrk)
                        figures[server.name].append(float(re.search(r"Requests/sec:\s+([\d.]+)", said).group(1)))
                base = statistics.median(figures["nginx"])
                for server in servers:
                    median = statistics.median(figures[server.name])
                    ratios = ", ".join(f"{figure / of_nginx:.2f}" for figure, of_nginx in zip(figures[server.name], figures["nginx"]))
                    print(f"{name} {server.name}: {median / base:.2f} of nginx (rounds: {ratios}; {median:.0f} requests/s)")
        finally:
            for server in servers:
                server.stop()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--apps", default=str(REPOSITORY / "target/release/apps"), help="the runner")
    parser.add_argument("--throughput", type=int, metavar="SECONDS", help="measure, for so long in each round")
    arguments = parser.parse_args()
    if not os.path.exists(arguments.apps):
        raise SystemExit(f"{arguments.apps} does not exist: cargo build --release -p apps, or --apps PROGRAM")
    if arguments.throughput:
        throughput(arguments.apps, arguments.throughput)
    else:
        compare(arguments.apps)


main()
