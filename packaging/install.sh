#!/bin/sh
# Install histokin from this folder for you alone (~/.local), or with PREFIX=/usr/local as root for everybody.
# `./install.sh --remove` takes it away again; your projects stay.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
prefix=${PREFIX:-$HOME/.local}
home=$prefix/lib/histokin
entry=$prefix/share/applications/histokin.desktop
icon=$prefix/share/icons/hicolor/scalable/apps/histokin.svg
types=$prefix/share/mime/packages/histokin.xml

refresh() {
    # Where a desktop has these programs, it learns of the new entry at once; else at the next login.
    command -v update-desktop-database >/dev/null && update-desktop-database -q "$prefix/share/applications" || true
    command -v update-mime-database >/dev/null && update-mime-database "$prefix/share/mime" >/dev/null 2>&1 || true
}

if [ "${1:-}" = --remove ]; then
    rm -rf "$home" "$prefix/bin/histokin" "$entry" "$icon" "$types"
    refresh
    echo "histokin was removed from $prefix"
    exit 0
fi

mkdir -p "$prefix/lib" "$prefix/bin" "$(dirname "$entry")" "$(dirname "$icon")" "$(dirname "$types")"
# Whole or not at all.
rm -rf "$home.new"
cp -R "$here" "$home.new"
rm -rf "$home"
mv "$home.new" "$home"
ln -sf "$home/histokin" "$prefix/bin/histokin"
# Desktops do not all look into ~/.local/bin.
sed "s|^Exec=histokin|Exec=\"$home/histokin\"|" "$here/share/histokin.desktop" >"$entry"
cp "$here/share/histokin.svg" "$icon"
cp "$here/share/histokin.xml" "$types"
refresh
echo "histokin is installed in $home; start it from the menu, or with $prefix/bin/histokin"
