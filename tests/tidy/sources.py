"""The files of the repository, for the tidy tests."""

import os
import subprocess

# Not ours, or not sources.
SKIPPED_FOLDERS = {".git", "build", "var", ".cache", "__pycache__"}


def paths(root):
    """Paths of all files, relative to root, with / between folders, sorted."""
    listed = subprocess.run(
        ["git", "-C", root, "ls-files", "--cached", "--others", "--exclude-standard", "-z"],
        capture_output=True, text=True, check=False)
    if listed.returncode == 0 and os.path.exists(os.path.join(root, ".git")):
        found = [path for path in listed.stdout.split("\0") if path]
        return sorted(path for path in set(found) if os.path.isfile(os.path.join(root, path)))
    found = []  # an exported tree, without git
    for folder, subfolders, files in os.walk(root):
        subfolders[:] = [name for name in subfolders if name not in SKIPPED_FOLDERS]
        found += [os.path.relpath(os.path.join(folder, name), root) for name in files]
    return sorted(found)
