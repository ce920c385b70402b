"""The largest body of a request, also where its length is not said beforehand: haproxy by itself knows only what is
said, so a program in Lua counts what comes. A filter can end a request in one way alone, as a wrong one; the answer to
that is put right by a file.
"""

LIMITS, ANSWER = "bodies.lua", "too-large.http"  # files
FILTER = "body_limit"

PROGRAM = rb"""
local Limit = {}
Limit.__index = Limit
Limit.id = "body_limit"
Limit.flags = filter.FLT_CFG_FL_HTX

function Limit:new()
    return setmetatable({seen = 0, most = self.most}, Limit)
end

function Limit:http_headers(txn, message)
    if not message.channel:is_resp() and not message:get_headers()["content-length"] then
        filter.register_data_filter(self, message.channel)
    end
end

function Limit:http_payload(txn, message)
    self.seen = self.seen + message:input()
    if self.seen > self.most then error("the body is too large") end
end

core.register_filter("body_limit", Limit, function(class, words)
    class.most = tonumber(words[1])
    return class
end)
"""
TEXT = b"the body is too large\n"
TOO_LARGE = (
    b"HTTP/1.1 413 Content Too Large\r\ncontent-type: text/plain\r\nconnection: close\r\n"
    b"content-length: %d\r\n\r\n%s" % (len(TEXT), TEXT)
)
