#!/usr/bin/env bash
# Compares imagepool with nginx and with the service that it replaces; see serve.py, or --help.
# shellcheck source=benches/common.sh
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"
