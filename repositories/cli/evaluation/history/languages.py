"""The programming languages whose files become passages, by suffix."""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import Final

_SUFFIXES: Final = {
    "bash": ".bash .sh .zsh",
    "c": ".c .h",
    "clojure": ".clj .cljc .cljs",
    "cpp": ".cc .cpp .cxx .hh .hpp .hxx .ipp",
    "csharp": ".cs",
    "css": ".css .less .scss",
    "dart": ".dart",
    "elixir": ".ex .exs",
    "erlang": ".erl .hrl",
    "fsharp": ".fs .fsx",
    "go": ".go",
    "groovy": ".gradle .groovy",
    "haskell": ".hs",
    "java": ".java",
    "javascript": ".cjs .js .jsx .mjs",
    "julia": ".jl",
    "kotlin": ".kt .kts",
    "lua": ".lua",
    "objective-c": ".m .mm",
    "ocaml": ".ml .mli",
    "perl": ".pl .pm",
    "php": ".php",
    "proto": ".proto",
    "python": ".py .pyi .pyx",
    "r": ".r",
    "ruby": ".rake .rb",
    "rust": ".rs",
    "scala": ".sc .scala",
    "sql": ".sql",
    "svelte": ".svelte",
    "swift": ".swift",
    "terraform": ".tf",
    "typescript": ".cts .mts .ts .tsx",
    "vue": ".vue",
    "zig": ".zig",
}
_LANGUAGES: Final = {
    suffix: language for language, suffixes in _SUFFIXES.items() for suffix in suffixes.split()
}

_FOREIGN: Final = frozenset({"node_modules", "third_party", "vendor", "vendored"})
_GENERATED: Final = (".min.js", ".min.css", "_pb2.py", "_pb2_grpc.py", ".pb.go")


def language_of(path: str) -> str | None:
    """Return the language of a source file; None for other files, foreign code, generated code."""
    parts = PurePosixPath(path)
    if path.endswith(_GENERATED) or not _FOREIGN.isdisjoint(parts.parts[:-1]):
        return None
    return _LANGUAGES.get(parts.suffix.lower())
