"""The revisions are those of alembic, and known without it."""

from __future__ import annotations

import subprocess
import sys

from alembic.script import ScriptDirectory

from retryd.store.revisions import revisions
from retryd.store.schema import configuration


def test_the_names_of_the_files_tell_what_alembic_knows() -> None:
    scripts = ScriptDirectory.from_config(configuration())
    assert revisions() == [script.revision for script in scripts.walk_revisions()]


def test_a_worker_does_not_load_alembic() -> None:
    program = (
        "import sys, retryd.compose, retryd.compose.daemon; "
        "sys.exit(bool({'alembic', 'sqlalchemy'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
