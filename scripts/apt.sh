#!/bin/sh
# Debian and Ubuntu packages for the tests of microphones, loudspeakers, voices, MQTT and
# transcription: PortAudio, PulseAudio, which runs privately as a sound card that is not there,
# mosquitto, made speech (espeak-ng) and recorded speech (prompts of Asterisk, CC BY-SA 3.0). Installs
# what is missing where that asks no password and removes nothing; elsewhere says what to do, and
# those tests say that they were skipped.
set -eu
packages="libportaudio2 libasound2-plugins pulseaudio pulseaudio-utils mosquitto espeak-ng
  asterisk-core-sounds-en asterisk-core-sounds-en-wav"
missing=
for package in $packages; do
  dpkg-query -W -f='${Status}' "$package" 2>/dev/null | grep -q 'install ok installed' || missing="$missing $package"
done
[ -n "$missing" ] || exit 0
say() { printf 'apt: %s for the tests of sound, voices, MQTT and transcription; without them those are skipped\n' "$1"; }
command -v apt-get >/dev/null 2>&1 || { say "install PortAudio, PulseAudio, mosquitto and espeak-ng"; exit 0; }
if [ "$(id -u)" = 0 ]; then sudo=; elif sudo -n true 2>/dev/null; then sudo="sudo -n"; else
  say "run: sudo apt install$missing"; exit 0
fi
echo "apt: installing$missing"
install() { DEBIAN_FRONTEND=noninteractive $sudo apt-get install -qq -y --no-install-recommends --no-remove $missing >/dev/null 2>&1; }
install || { $sudo apt-get update -qq >/dev/null 2>&1 && install; } || say "apt-get could not install$missing; install them"
