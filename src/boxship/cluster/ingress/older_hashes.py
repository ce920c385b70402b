"""Passwords as `htpasswd` writes them unless it is told otherwise (apr1), and as SHA-1: the C library cannot compare
them, so haproxy does it by a program in Lua, which is written here. Who was right once is not reckoned again.

Source: the algorithm of Apache's apr_md5_encode. Nothing that is not of the form below ever gets into the program.
"""

import re
from collections.abc import Mapping

OLDER = re.compile(r"\$apr1\$[A-Za-z0-9./]{1,8}\$[A-Za-z0-9./]{22}|\{SHA\}[A-Za-z0-9+/=]{28}")

PROGRAM = r"""
local accounts, right, count = {}, {}, 0
local digits = "./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"

local function apr1(md5, word, salt)
    local text, mixed = word .. "$apr1$" .. salt, md5(word .. salt .. word)
    local left = #word
    while left > 0 do
        text = text .. mixed:sub(1, math.min(16, left))
        left = left - 16
    end
    local bits = #word
    while bits > 0 do
        text = text .. (bits % 2 == 1 and "\0" or word:sub(1, 1))
        bits = bits // 2
    end
    local final = md5(text)
    for round = 0, 999 do
        local odd = round % 2 == 1
        text = odd and word or final
        if round % 3 ~= 0 then text = text .. salt end
        if round % 7 ~= 0 then text = text .. word end
        final = md5(text .. (odd and final or word))
    end
    local made = {}
    local function put(number, length)
        for _ = 1, length do
            made[#made + 1] = digits:sub(number % 64 + 1, number % 64 + 1)
            number = number // 64
        end
    end
    for _, places in ipairs({{1, 7, 13}, {2, 8, 14}, {3, 9, 15}, {4, 10, 16}, {5, 11, 6}}) do
        put(final:byte(places[1]) * 65536 + final:byte(places[2]) * 256 + final:byte(places[3]), 4)
    end
    put(final:byte(12), 2)
    return table.concat(made)
end

core.register_fetches("listed", function(txn, list)
    local given = txn.sf:req_hdr("authorization")
    local encoded = given and given:match("^[Bb]asic%s+(%S+)$")
    local user, word = string.match(encoded and txn.c:b64dec(encoded) or "", "^([^:]*):(.*)$")
    local hash = user and accounts[list] and accounts[list][user]
    if not hash then return false end
    local known = txn.c:digest(list .. "\0" .. user .. "\0" .. hash .. "\0" .. word, "sha256")
    if right[known] then return true end
    local function md5(text) return txn.c:digest(text, "md5") end
    local fits
    if hash:sub(1, 5) == "{SHA}" then
        fits = hash:sub(6) == txn.c:base64(txn.c:digest(word, "sha1"))
    else
        local salt, wanted = hash:match("^%$apr1%$([^$]+)%$(.+)$")
        fits = apr1(md5, word, salt) == wanted
    end
    if fits then
        if count > 10000 then right, count = {}, 0 end
        right[known], count = true, count + 1
    end
    return fits
end)
"""


def program(accounts: Mapping[str, Mapping[str, str]]) -> str:
    """`accounts`: name of a list → user → hash."""
    lines = [PROGRAM]
    for name, users in sorted(accounts.items()):
        listed = ", ".join(f'["{user}"] = "{hashed}"' for user, hashed in sorted(users.items()))
        lines.append(f'accounts["{name}"] = {{{listed}}}\n')
    return "".join(lines)


def older_of(users: Mapping[str, str]) -> dict[str, str]:
    """Those of the accounts that this is for."""
    return {user: hashed for user, hashed in users.items() if OLDER.fullmatch(hashed)}
