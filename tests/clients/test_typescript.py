"""The error codes for TypeScript are accepted by the compiler."""

import subprocess
from pathlib import Path

import pytest

import app
from app.server.graphiql.build import NodePrograms
from tests.clients.conftest import FOLDER, INSTALL

CODES = Path(app.__file__).parents[1] / "docs/clients/error-codes.ts"
COMPILER = FOLDER / "node_modules/typescript/bin/tsc"

USE = """
import { type ErrorExtensions, errorCodes, isErrorCode, retryableCodes } from "./error-codes";

declare const extensions: ErrorExtensions;
if (isErrorCode(extensions.code) && retryableCodes.has(extensions.code)) {
  const first: "SOURCE_TIMEOUT" = errorCodes[0];
  console.log(first, extensions.paths?.[0]?.path.join("."), extensions.source);
}
"""

MISUSE = """
import { type ErrorCode } from "./error-codes";

export const unknown: ErrorCode = "SOURCE_TIRED";
"""


@pytest.mark.timeout(INSTALL + 60)
@pytest.mark.parametrize(("text", "complaint"), [(USE, ""), (MISUSE, "SOURCE_TIRED")])
def test_the_compiler_accepts_only_known_codes(
    node: NodePrograms, tmp_path: Path, text: str, complaint: str
) -> None:
    (tmp_path / "error-codes.ts").write_bytes(CODES.read_bytes())
    (tmp_path / "use.ts").write_text(text, encoding="utf-8")

    done = subprocess.run(  # noqa: S603 # the compiler
        (*node.node, COMPILER, "--noEmit", "--strict", "--target", "es2020", "use.ts"),
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )

    assert (done.returncode == 0) == (not complaint), done.stdout
    assert complaint in done.stdout
