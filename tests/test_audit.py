"""``make audit`` fails for what is known and not allowed; the database is a server of OSV's protocol here."""

from __future__ import annotations

import importlib.util
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from tests.ports import free_port
from tests.tiny import ROOT

KNOWN = {"bad": [{"id": "GHSA-bad", "aliases": ["CVE-2026-1"], "summary": "bad", "affected": []}]}


class Database(BaseHTTPRequestHandler):
    """Knows one vulnerable package."""

    def do_POST(self):
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        found = KNOWN.get(asked["package"]["name"])
        content = json.dumps({"vulns": found} if found else {}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *arguments):
        """Nothing."""


@pytest.fixture
def database():
    with ThreadingHTTPServer(("127.0.0.1", 0), Database) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/v1/query"
        server.shutdown()
        thread.join()


@pytest.fixture
def audit(tmp_path):
    """Audits one package; the exit status."""
    spec = importlib.util.spec_from_file_location("audit", ROOT / "requirements/audit.py")
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)

    def run(url: str, package: str, allowed: str = "") -> int:
        (tmp_path / "lock.txt").write_text(f"{package}==1.0\ngood==2.0\n")
        (tmp_path / "allowed.yaml").write_text(allowed)
        options = ["--vulnerability-service", "osv", "--osv-url", url, "--cache-dir", str(tmp_path / "cache")]
        return script.main(options, [tmp_path / "lock.txt"], tmp_path / "allowed.yaml")

    return run


def test_a_known_vulnerability_fails_and_is_named(audit, database, capsys):
    assert audit(database, "bad") == 1
    assert "bad 1.0: CVE-2026-1 GHSA-bad" in capsys.readouterr().out


def test_one_that_is_allowed_with_a_reason_passes(audit, database, capsys):
    assert audit(database, "bad", "CVE-2026-1: it is not called") == 0
    assert "it is not called" in capsys.readouterr().out


def test_packages_without_any_pass(audit, database, capsys):
    assert audit(database, "fine") == 0
    assert "2 of 2 packages audited, 0 findings" in capsys.readouterr().out


def test_a_database_that_is_out_of_reach_fails_nothing_and_says_so(audit, capsys):
    assert audit(f"http://127.0.0.1:{free_port()}/v1/query", "bad") == 0
    assert "NOT AUDITED" in capsys.readouterr().out
