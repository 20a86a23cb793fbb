"""The skeleton of a new study: every file it needs, with a toy question in them that runs and is judged."""

from __future__ import annotations

import re
from pathlib import Path

from redlib.errors import BadInput
from redlib.evidence.files import write_atomic
from redlib.evidence.paths import PROFILES, project_root
from redlib.report.profiles import notebook_source, studies

TEMPLATES = Path(__file__).parent / "templates" / "new_study"


def create(name: str) -> list[Path]:
    """Write the files of study `name` (10_my_study) and name it in every profile; return what was written.

    BadInput for another form of name, and where the study or its number exists: nothing is overwritten.
    """
    files = _files(_checked(name))
    there = [str(path.relative_to(project_root())) for path in files.values() if path.exists()]
    if there:
        raise BadInput.of("files of the study", there, "none that exist", "choose another name, or remove them")
    for template, path in files.items():
        text = _filled((TEMPLATES / f"{template}.in").read_text(encoding="utf-8") if template else _empty(name), name)
        write_atomic(path, text.encode())
    profiles = [project_root() / "profiles" / f"{profile}.yaml" for profile in PROFILES]
    for path in profiles:
        write_atomic(path, f"{path.read_text(encoding='utf-8').rstrip()}\n  {name}: {{}}\n".encode())
    return [*files.values(), *profiles]


def _checked(name: str) -> str:
    if not re.fullmatch(r"\d\d_[a-z][a-z0-9_]*[a-z0-9]", name):
        raise BadInput.of("name", name, "NN_words_in_lower_case, e.g. 10_my_study", "it becomes names of files")
    taken = {study[:2]: study for study in (*studies(), *(p.stem for p in (project_root() / "claims").glob("*.yaml")))}
    if name[:2] in taken:
        raise BadInput.of("number of the study", name[:2], f"none of {sorted(taken)}", f"{taken[name[:2]]} has it")
    return name


def _files(name: str) -> dict[str, Path]:
    """Return {template: file}; the file without a template is the package's __init__."""
    root, folder = project_root(), name[3:]
    package, tests = root / "redlib" / "studies" / folder, root / "tests" / "studies" / folder
    return {
        "claims.yaml": root / "claims" / f"{name}.yaml",
        "": package / "__init__.py",
        "judge.py": package / "claims.py",
        **{part: package / part for part in ("runs.py", "figures.py")},
        "notebook.py": notebook_source(name),
        **{part: tests / part for part in ("tiny.py", "test_claims.py")},
    }


def _empty(name: str) -> str:
    return '"""The study @TITLE@: runs, what they say of each claim, figures."""\n'


def _filled(text: str, name: str) -> str:
    """Return a template with the study's names in it."""
    folder = name[3:]
    prefix = re.sub(r"[^A-Z]", "", folder.upper())
    words = {
        "STUDY": name,
        "NAME": folder,
        "TITLE": folder.replace("_", " ").capitalize(),
        "PREFIX": prefix,
        "FUNCTION": prefix.lower(),
        "FIGURE": f"{folder}_training",
    }
    return re.sub(r"@([A-Z]+)@", lambda found: words[found[1]], text)
