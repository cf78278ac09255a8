#!/bin/sh
# Has the programs of others look at the files that are for them: systemd-analyze at the units, promtool at the alert
# rules, the shell at its scripts. What is not installed is left out and named. The rules that need no other program are
# tests: cargo test -p tandem-deploy-checks
set -eu
cd "$(dirname "$0")"

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
failed=0

say() { printf 'deploy: %s\n' "$*"; }
fail() { say "$*"; failed=1; }

check_scripts() {
    for script in check.sh ../.ci/run; do
        case $(head -n 1 "$script") in
            *bash*) bash -n "$script" || fail "$script does not parse" ;;
            *) sh -n "$script" || fail "$script does not parse" ;;
        esac
    done
    say "the scripts parse"
}

# The programs are not installed here, so a copy names one that is. An unknown key is only a warning to systemd, so
# whatever it says counts.
check_units() {
    if ! command -v systemd-analyze >/dev/null; then
        say "systemd-analyze is not installed (Debian: systemd), so the units were not verified"
        return
    fi
    for unit in systemd/*.service systemd/*.target; do
        sed 's#^\(ExecStart=\)/usr/local/bin/tandem[a-z-]*#\1/bin/true#' "$unit" >"$folder/${unit##*/}"
    done
    if SYSTEMD_UNIT_PATH="$folder:" systemd-analyze verify --man=no \
        "$folder/tandem.target" "$folder/tandem-api.service" "$folder/tandem-scheduler.service" \
        "$folder/tandem-worker@1.service" "$folder/tandem-migrate.service" >"$folder/said" 2>&1 \
        && [ ! -s "$folder/said" ]; then
        say "systemd takes the units"
    else
        cat "$folder/said"
        fail "systemd does not take the units as they are"
    fi
}

check_alerts() {
    if ! command -v promtool >/dev/null; then
        say "promtool is not installed (Debian: prometheus), so the alert rules were not tried"
        return
    fi
    for check in 'check rules prometheus/rules.yaml' 'test rules prometheus/rules.test.yaml' \
        'check config --syntax-only prometheus/scrape.yaml'; do
        # The words of a check are its arguments.
        # shellcheck disable=SC2086
        if promtool $check >"$folder/said" 2>&1; then
            say "promtool $check: good"
        else
            cat "$folder/said"
            fail "promtool $check: failed"
        fi
    done
}

check_scripts
check_units
check_alerts
exit "$failed"
