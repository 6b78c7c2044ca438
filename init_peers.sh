#!/usr/bin/env bash
# Starts the seven peers of the demo ring: 2 4 5 8 9 14 19.
#
#   ./init_peers.sh [INTERVAL]           in windows where there is a display, in panes inside tmux;
#                                        else in the background, at a terminal with peer 2 in the foreground
#   ./init_peers.sh [INTERVAL] --tmux    in panes of tmux
#   ./init_peers.sh stop                 ends the peers it started
set -u
cd "$(dirname "$0")" || exit 1

ring=("2 4 5" "4 5 8" "5 8 9" "8 9 14" "9 14 19" "14 19 2" "19 2 4")
logs=logs
pids=$logs/pids # lines of: peer, process id
p2p=${CARGO_TARGET_DIR:-target}/release/p2p
interval=15
tmux=${TMUX:+yes}

fail() {
    echo "$*" >&2
    exit 1
}

# The lines of $pids whose process is still that peer.
running() {
    [ -f $pids ] || return 0
    while read -r peer pid; do
        tr '\0' ' ' 2>/dev/null <"/proc/$pid/cmdline" | grep -q "p2p init $peer " && echo "$peer $pid"
    done <$pids
}

stop() {
    running | while read -r peer pid; do kill "$pid"; done
    # A peer takes at most 8 seconds to hand over what it holds.
    for _ in $(seq 100); do
        [ -z "$(running)" ] && break
        sleep 0.1
    done
    [ -z "$(running)" ] || fail "Still running (peer, process): $(running | tr '\n' ';')"
    rm -f $pids $logs/*.in
    echo "All peers have ended."
}

build() {
    command -v cargo >/dev/null || [ -x "$p2p" ] || fail "cargo is missing: install Rust from https://rustup.rs"
    # Without the last line cargo says nothing, unless it has to compile.
    ! command -v cargo >/dev/null || cargo build --release 2> >(grep -v '^ *Finished' >&2) || fail "It does not build."
}

# In a window of its own: runs a peer, and keeps the window open when it has ended.
window="
    (echo \"\$1 \$BASHPID\" >>$pids; exec '$p2p' init \"\$@\")
    read -rp \"Peer \$1 has ended. Enter closes this window.\""

in_windows() {
    local at=0 place
    for peer in "${ring[@]}"; do
        # Beside and below each other, where the desktop lets them.
        place=78x22+$((at % 3 * 500))+$((at / 3 * 330))
        at=$((at + 1))
        if command -v gnome-terminal >/dev/null; then
            gnome-terminal --title "Peer ${peer%% *}" --geometry $place -- bash -c "$window" peer $peer "$interval"
        else
            xterm -T "Peer ${peer%% *}" -geometry $place -e bash -c "$window" peer $peer "$interval" &
        fi
    done
    echo "Type at a peer in its window:      Request 4103"
}

in_tmux() {
    command -v tmux >/dev/null || fail "tmux is missing."
    local target=
    for peer in "${ring[@]}"; do
        local run=(bash -c "$window" peer $peer "$interval")
        if [ -n "$target" ]; then
            tmux split-window -t "$target" -c "$PWD" "${run[@]}"
        elif [ -n "${TMUX:-}" ]; then
            target=$(tmux new-window -P -F '#{window_id}' -n ring -c "$PWD" "${run[@]}")
        else
            target=$(tmux new-session -d -P -F '#{window_id}' -s ring -x 200 -y 50 -c "$PWD" "${run[@]}")
        fi || fail "tmux opens no pane."
        tmux select-layout -t "$target" tiled
    done
    tmux select-pane -t "$target.{top-left}"
    echo "Type at a peer in its pane:        Request 4103"
    [ -n "${TMUX:-}" ] || echo "See the panes:                     tmux attach -t ring"
}

# A peer that outlives this terminal and hears what is written to $logs/<peer>.in.
in_background() {
    rm -f "$logs/$1.in"
    mkfifo "$logs/$1.in"
    setsid "$p2p" init "$@" "$interval" <>"$logs/$1.in" >"$logs/$1.log" 2>&1 &
    echo "$1 $!" >>$pids
}

all_up() {
    sleep 0.5
    for peer in "${ring[@]}"; do
        local number=${peer%% *}
        if grep -q "^$number " $pids && ! running | grep -q "^$number "; then
            fail "Peer $number does not run: $(tail -n 1 "$logs/$number.log")"
        fi
    done
}

tell_how() {
    echo "Let a peer 15 join:                $p2p join 15 4 $interval"
    echo "Stop them:                         ./init_peers.sh stop"
}

for word in "$@"; do
    case $word in
    stop) stop && exit ;;
    --tmux) tmux=yes ;;
    [0-9]* | .[0-9]*) interval=$word ;;
    *) sed -n '2,/^set/s/^# \?//p' "$0" >&2 && exit 2 ;;
    esac
done

mkdir -p $logs
[ -z "$(running)" ] || fail "They run already. Stop them: ./init_peers.sh stop"
rm -f $pids
build

if [ -n "${DISPLAY:-}" ] && [ -z "$tmux" ] && { command -v gnome-terminal || command -v xterm; } >/dev/null; then
    in_windows
    tell_how
elif [ -n "$tmux" ]; then
    in_tmux
    tell_how
elif [ -t 0 ] && [ -t 1 ]; then
    for peer in "${ring[@]:1}"; do in_background $peer; done
    all_up
    echo "Peers 4 5 8 9 14 19 run in the background, with their logs in $logs/: tail -f $logs/*.log"
    echo "Here you type at peer 2:           Request 4103"
    echo "Type at another peer:              echo 'Store 2067' >$logs/8.in"
    tell_how
    trap : INT # Ctrl-C is for peer 2 alone
    "$p2p" init ${ring[0]} "$interval"
    echo "Peer 2 has ended; the others run on. Stop them: ./init_peers.sh stop"
else
    for peer in "${ring[@]}"; do in_background $peer; done
    all_up
    echo "All seven peers run in the background, with their logs in $logs/: tail -f $logs/*.log"
    echo "Type at a peer:                    echo 'Request 4103' >$logs/2.in"
    tell_how
fi
