#!/bin/bash
# A microphone without a sound card: a private PulseAudio server whose source "mic" hears what is played into its sink "wire".
# usage: virtual_mic.sh DIR start|stop|kill|plug|unplug|unplug-all|suspend|resume|hang|wake|env|play FILE
#
# PortAudio reaches the server through ALSA's pulse plugin. Needs: pulseaudio pulseaudio-utils libasound2-plugins
set -euo pipefail

dir=$1
verb=$2
export XDG_RUNTIME_DIR=$dir HOME=$dir PULSE_SERVER=unix:$dir/socket PULSE_COOKIE=$dir/cookie
export ALSA_CONFIG_PATH=$dir/asound.conf PULSE_LATENCY_MSEC=20
record=(parec --device=mic --latency-msec=10 --raw --rate=16000 --channels=1 --format=s16le)

# A process that we started and that still is what it was: its number may have been given away since.
runs() { [[ -s $dir/$1.pid && $(cat "/proc/$(<"$dir/$1.pid")/comm" 2>/dev/null) == "$2" ]]; }
signal() { ! runs "$1" "$2" || kill "-$3" "$(<"$dir/$1.pid")"; }

# A null sink renders seconds at a time until somebody asks for less, and ALSA's plugin never asks: without a reader that does,
# the first recording would get nothing for two seconds and then everything at once.
pace() {
    signal reader parec TERM
    "${record[@]}" </dev/null >/dev/null 2>&1 &
    echo $! >"$dir/reader.pid"
    timeout 8 "${record[@]}" 2>/dev/null | head -c 6400 >/dev/null || true
}

start() {
    mkdir -p "$dir"
    chmod 700 "$dir"
    rm -f "$dir/socket"
    head -c 256 /dev/urandom >"$dir/cookie"
    cat >"$dir/server.pa" <<EOF
load-module module-native-protocol-unix socket=$dir/socket auth-anonymous=1
load-module module-null-sink sink_name=other rate=16000 channels=1
load-module module-null-sink sink_name=wire rate=16000 channels=1
load-module module-remap-source source_name=mic master=wire.monitor rate=16000 channels=1
set-default-sink other
set-default-source mic
EOF
    # "vmic" is bound to the one source: with "fallback none" its absence is an error instead of another microphone.
    cat >"$dir/asound.conf" <<EOF
</usr/share/alsa/alsa.conf>
pcm.!default { type pulse }
ctl.!default { type pulse }
pcm.vmic { type pulse device mic fallback none hint { show on description "virtual microphone" } }
EOF
    pulseaudio -n -F "$dir/server.pa" --daemonize=no --exit-idle-time=-1 --use-pid-file=no --disable-shm=yes --realtime=no \
        --high-priority=no --log-target="file:$dir/server.log" </dev/null >/dev/null 2>&1 &
    echo $! >"$dir/server.pid"
    for _ in {1..1200}; do
        if pactl list short sources 2>/dev/null | grep -qw mic; then pace && return; fi
        sleep 0.1
    done
    cat "$dir/server.log" >&2
    return 1
}

stop() {
    signal reader parec TERM
    signal server pulseaudio CONT
    signal server pulseaudio "$1"
    for _ in {1..1200}; do
        runs server pulseaudio || return 0
        sleep 0.1
    done
    return 1
}

unload() { pactl list short modules | awk -v name="$1" '$2 == name {print $1}' | xargs -r -n1 pactl unload-module; }

plug() {
    for sink in other wire; do
        pactl list short sinks | grep -qw "$sink" ||
            pactl load-module module-null-sink "sink_name=$sink" rate=16000 channels=1 >/dev/null
    done
    pactl set-default-sink other
    pactl load-module module-remap-source source_name=mic master=wire.monitor rate=16000 channels=1 >/dev/null
    pactl set-default-source mic
    pace
}

case $verb in
    start) start ;;
    stop) stop TERM ;;
    kill) stop KILL ;;
    plug) plug ;;
    unplug) signal reader parec TERM && unload module-remap-source ;; # a stream on it is moved to another source
    unplug-all) signal reader parec TERM && unload module-remap-source && unload module-null-sink ;;
    suspend) pactl suspend-source mic 1 ;;
    resume) pactl suspend-source mic 0 ;;
    hang) signal server pulseaudio STOP ;;
    wake) signal server pulseaudio CONT ;;
    play) paplay --device=wire "$3" ;;
    env) for name in XDG_RUNTIME_DIR PULSE_SERVER PULSE_COOKIE ALSA_CONFIG_PATH PULSE_LATENCY_MSEC; do echo "$name=${!name}"; done ;;
    *) sed -n 3p "$0" >&2 && exit 2 ;;
esac
