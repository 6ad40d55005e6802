"""What a block can leave behind: how to leave it, how to look for it, how to remove it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Trait:
    """Three small scripts; `$n` in them is a number and `$name` a file name, both drawn anew for
    each trait and probe."""

    name: str
    leave: str
    """Leaves it behind, and may set `okrt_said` to what the look must see; else that is `$n`."""
    look: str
    """Sets `okrt_got` to what is seen. `$said` is what `leave` said. Any exception: it is gone."""
    remove: str = ""
    sessions: bool = False
    """Whether it is looked for in another session too."""


TRAITS = (
    Trait("variables", "okrt_v$n = $n", "okrt_got = okrt_v$n", sessions=True),
    Trait(
        "functions",
        "def okrt_f$n(a):\n    return a + $n",
        "okrt_got = okrt_f$n(1) - 1",
    ),
    Trait("classes", "class OkrtC$n:\n    value = $n", "okrt_got = OkrtC$n.value"),
    Trait("imports", "import math as okrt_m$n", "okrt_got = okrt_m$n.floor($n.5)"),
    Trait(
        "attributes of modules",
        "import math\nmath.okrt_a$n = $n",
        "import math\nokrt_got = math.okrt_a$n",
        "import math\ndel math.okrt_a$n",
        sessions=True,
    ),
    Trait(
        "random state",
        "import random\nrandom.seed($n)\nokrt_said = random.Random($n).random()",
        "import random\nokrt_got = random.random()",
    ),
    Trait(
        "environment variables",
        "import os\nos.environ['OKRT_$n'] = '$n'",
        "import os\nokrt_got = os.environ['OKRT_$n']",
        "import os\nos.environ.pop('OKRT_$n', None)",
        sessions=True,
    ),
    Trait(
        "files in the working directory",
        "with open('$name', 'w') as okrt_file:\n    okrt_file.write('$n')",
        "with open('$name') as okrt_file:\n    okrt_got = okrt_file.read()",
        "import os\nos.remove('$name')",
        sessions=True,
    ),
    Trait(
        "temporary files",
        "import os, tempfile\n"
        "with open(os.path.join(tempfile.gettempdir(), '$name'), 'w') as okrt_file:\n"
        "    okrt_file.write('$n')",
        "import os, tempfile\n"
        "with open(os.path.join(tempfile.gettempdir(), '$name')) as okrt_file:\n"
        "    okrt_got = okrt_file.read()",
        "import os, tempfile\nos.remove(os.path.join(tempfile.gettempdir(), '$name'))",
        sessions=True,
    ),
    Trait(
        "the working directory",
        "import os\nos.mkdir('$name')\nos.chdir('$name')\nokrt_said = '$name'",
        "import os\nokrt_got = os.path.basename(os.getcwd())",
        "import os\n"
        "if os.path.basename(os.getcwd()) == '$name':\n    os.chdir(os.pardir)\n"
        "os.rmdir('$name')",
    ),
    Trait(
        "open files",
        "import os\nokrt_fd = os.pipe()[0]\n"
        "okrt_said = str(okrt_fd) + '.' + str(os.fstat(okrt_fd).st_ino)",
        "import os\nokrt_fd = int('$said'.split('.')[0])\n"
        "okrt_got = str(okrt_fd) + '.' + str(os.fstat(okrt_fd).st_ino)",
    ),
    Trait(
        "threads",
        "import threading, time\n"
        "threading.Thread(target=time.sleep, args=[20], name='okrt$n', daemon=True).start()",
        "import threading\n"
        "okrt_got = $n if 'okrt$n' in [t.name for t in threading.enumerate()] else 'gone'",
    ),
)
"""The thread of the last one ends by itself."""
