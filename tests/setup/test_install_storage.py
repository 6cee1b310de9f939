"""``scripts/install-storage`` with a Go that only logs its arguments."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from appliance import ROOT
from tests.support.appliances import PATIENCE_SECONDS

VERSION = (ROOT / "scripts" / "requirements" / "minio.version").read_text().strip()

GO = """#!/bin/sh
if [ "$1" = env ]; then
  case $2 in
    GOVERSION) echo "${STUB_VERSION:-go1.24.11}";;
    GOFLAGS) echo "$GOFLAGS";;
    GOSUMDB) echo "${GOSUMDB:-on}";;
  esac
  exit
fi
echo "$* GOFLAGS=$GOFLAGS CGO_ENABLED=$CGO_ENABLED GOTOOLCHAIN=$GOTOOLCHAIN GONOSUMDB=$GONOSUMDB" >>"$STUB_LOG"
if [ "$1" = mod ]; then
  if [ -n "$STUB_FAULT" ]; then echo "go: $STUB_FAULT" >&2; exit 1; fi
else
  mkdir -p "$GOBIN"
  printf '#!/bin/sh\\necho minio version stub\\n' >"$GOBIN/minio" && chmod +x "$GOBIN/minio"
fi
"""


@pytest.fixture
def machine(tmp_path: Path) -> Path:
    """A checkout with the script, a Go and a SeaweedFS on its PATH, and an empty cache."""
    scripts = tmp_path / "checkout" / "scripts"
    shutil.copytree(ROOT / "scripts" / "requirements", scripts / "requirements")
    shutil.copy2(ROOT / "scripts" / "install-storage", scripts / "install-storage")
    (tmp_path / "checkout" / ".venv" / "bin").mkdir(parents=True)
    (tmp_path / "checkout" / ".venv" / "bin" / "python").symlink_to(sys.executable)
    program(tmp_path / "bin" / "go", GO)
    program(tmp_path / "bin" / "weed", "#!/bin/sh\n")
    return tmp_path


def program(path: Path, text: str) -> Path:
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)
    path.chmod(0o755)
    return path


def install(machine: Path, *arguments: str, **environment: str) -> tuple[int, str]:
    """Return the exit status and standard error. Standard output must be empty."""
    variables = {
        "PATH": f"{machine / 'bin'}:/usr/bin:/bin",
        "HOME": str(machine),
        "APPLIANCE_CACHE": str(machine / "cache"),
        "STUB_LOG": str(machine / "go.log"),
        # A build with the packaged Go would take minutes.
        "PIP_NO_INDEX": "1",
        "LANG": os.environ.get("LANG", "C"),
    }
    command: list[str | Path] = [machine / "checkout" / "scripts" / "install-storage", *arguments]
    env = variables | environment
    result = subprocess.run(command, env=env, capture_output=True, text=True, timeout=PATIENCE_SECONDS)
    assert result.stdout == ""
    return result.returncode, result.stderr


def built(machine: Path) -> Path:
    return machine / "cache" / "minio" / VERSION / "minio"


def test_minio_is_built_once_verified_and_with_its_version(machine: Path) -> None:
    status, stderr = install(machine, GOFLAGS="-insecure -buildvcs=false", GONOSUMDB="*")
    assert status == 0, stderr
    assert "built minio version stub" in stderr
    assert built(machine).exists()
    calls = (machine / "go.log").read_text()
    assert f"github.com/minio/minio@{VERSION}" in calls
    assert "cmd.ReleaseTag=DEVELOPMENT.2026-02-12T20-18-48Z" in calls
    assert "cmd.Version=2026-02-12T20:18:48Z" in calls
    assert "CGO_ENABLED=0 GOTOOLCHAIN=local" in calls
    assert "-insecure" not in calls
    assert "GONOSUMDB=*" not in calls
    assert not [path for path in (machine / "cache" / "minio").rglob("*") if path.is_file() and path != built(machine)]
    assert install(machine) == install(machine, "--if-missing") == (0, "")


def test_an_installed_minio_is_used(machine: Path) -> None:
    named = program(machine / "named", "#!/bin/sh\n")
    assert install(machine, APPLIANCE_MINIO=str(named)) == (0, "")
    assert "not a program" in install(machine, APPLIANCE_MINIO=str(machine / "none"))[1]
    program(machine / "bin" / "minio", "#!/bin/sh\n")
    assert install(machine) == (0, "")
    assert not built(machine).exists()


def test_seaweedfs_is_installed_if_the_go_proxy_is_unreachable(machine: Path) -> None:
    fault = "Get: dial tcp: connect: connection refused"
    status, stderr = install(machine, STUB_FAULT=fault)
    assert (status, len(stderr.splitlines())) == (0, 1)
    assert "SeaweedFS is used instead" in stderr
    assert install(machine, "--if-missing") == (0, "")
    status, stderr = install(machine, "minio", STUB_FAULT=fault)
    assert (status, "connection refused" in stderr) == (1, True)


def test_source_that_fails_verification_is_an_error(machine: Path) -> None:
    status, stderr = install(machine, STUB_FAULT="verifying module: checksum mismatch; SECURITY ERROR")
    assert (status, "does not match" in stderr) == (1, True)
    status, stderr = install(machine, GOSUMDB="off")
    assert (status, "GOSUMDB=off" in stderr) == (1, True)
    assert not built(machine).exists()


def test_minio_is_not_built_if_another_server_is_configured(machine: Path) -> None:
    assert install(machine, APPLIANCE_STORAGE_SERVER="seaweedfs") == (0, "")
    assert not (machine / "go.log").exists()
    assert install(machine, "--if-missing", APPLIANCE_STORAGE_SERVER="external") == (0, "")
