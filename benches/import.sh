#!/usr/bin/env bash
# Measures imports beside Debian's cwebp on the same files; see import.py, or --help.
# shellcheck source=benches/common.sh
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"
