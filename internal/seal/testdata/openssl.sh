#!/usr/bin/env bash
# Prints the nonces and the key id of TestVectors, computed with openssl alone:
#
#	bash internal/seal/testdata/openssl.sh
set -eu

key=000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f

hex() { printf %s "$1" | od -An -v -tx1 | tr -d ' \n'; }
bytes() { printf %b "$(printf %s "$1" | sed 's/../\\x&/g')"; }
field() { printf %016x%s $((${#1} / 2)) "$1"; } # the length in 8 bytes, then the text, all in hex
base64url() { bytes "$1" | openssl base64 -A | tr +/ -_ | tr -d =; }
hmac() { bytes "$1" | openssl dgst -sha256 -mac HMAC -macopt hexkey:$key -r | cut -d' ' -f1; }

# sum USE PURPOSE TABLE BODY, all in hex
sum() { hmac "$(field "$1")$(field "$2")$(field "$3")$4"; }

# nonce PURPOSE TABLE ISSUED TTL RANDOM, the last in hex
nonce() {
	body=$(printf %010x%010x "$3" "$4")$5
	tag=$(sum b1 "$(hex "$1")" "$(hex "$2")" "$body" | cut -c1-32)
	base64url "b1$body$tag"
}

# derived PURPOSE TABLE ISSUED TTL
derived() {
	times=$(printf %010x%010x "$3" "$4")
	nonce "$1" "$2" "$3" "$4" "$(sum "$(hex derive)" "$(hex "$1")" "$(hex "$2")" "$times" | cut -c1-36)"
}

random=a0a1a2a3a4a5a6a7a8a9aaabacadaeafb0b1
echo "$(nonce https://as.example/token '' 1774785600 300 $random)"
echo "$(nonce https://as.example/token auth.dpop_nonces 1774785600 300 $random)"
echo "$(nonce '' '' 0 1 000000000000000000000000000000000000)"
echo "$(nonce 'né' t 1099511627775 9223372036 ffffffffffffffffffffffffffffffffffff)"
echo "$(derived https://as.example/token '' 1774785600 300)"
echo "$(base64url "$(sum "$(hex id)" '' '' '' | cut -c1-12)")"
