#!/usr/bin/env python3
"""A form, and what was filled in: POST, application/x-www-form-urlencoded."""

import html
import os
import sys
import urllib.parse

PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>A form</title>
<style>
:root {{ color-scheme: light dark }}
body {{ font: 1rem/1.6 system-ui, sans-serif; max-width: 38rem; margin: 8vh auto; padding: 0 1.25rem }}
input, button {{ font: inherit; padding: .4rem .6rem }}
</style>
<h1>A form</h1>
{answer}
<form method="post">
<label for="name">Your name</label>
<input id="name" name="name" maxlength="100" value="{name}" required>
<button>Send</button>
</form>
</html>
"""


def answer(status, page):
    body = page.encode()
    head = f"Status: {status}\nContent-Type: text/html; charset=utf-8\nContent-Length: {len(body)}\n\n"
    sys.stdout.buffer.write(head.encode() + body)


def main():
    if os.environ["REQUEST_METHOD"] != "POST":
        return answer("200 OK", PAGE.format(answer="", name=""))
    if os.environ.get("CONTENT_TYPE", "").split(";")[0] != "application/x-www-form-urlencoded":
        return answer("415 Unsupported Media Type", PAGE.format(answer="<p>That was no form.</p>", name=""))
    body = sys.stdin.buffer.read(int(os.environ.get("CONTENT_LENGTH") or 0))
    name = urllib.parse.parse_qs(body.decode("utf-8", "replace")).get("name", [""])[0]
    name = html.escape(name)
    answer("200 OK", PAGE.format(answer=f"<p>Hello, <b>{name}</b>!</p>", name=name))


main()
