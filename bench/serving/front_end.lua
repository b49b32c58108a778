-- A chat of about 1,024 tokens whose beginning nobody shares, answered by 128 streamed tokens.
local words = {}
for word in ([[time year people way day man thing woman life child world school state family student
    group country problem hand part place case week company system program question work
    government number night point home water room mother area money story fact month lot right
    study book eye job word business issue side kind head house service friend]]):gmatch("%a+") do
  words[#words + 1] = word
end

local threads = {}
function setup(thread)
  threads[#threads + 1] = thread
  thread:set("seed", #threads)
end

local body_end
function init(_)
  math.randomseed(seed)
  local text = {}
  for i = 1, 1000 do text[i] = words[math.random(#words)] end
  body_end = table.concat(text, " ") .. '"}],"max_tokens":128,"temperature":0,"stream":true}'
end

function request()
  local start = {}
  for i = 1, 12 do start[i] = words[math.random(#words)] end
  return wrk.format("POST", "/v1/chat/completions", {["Content-Type"] = "application/json"},
    '{"messages":[{"role":"user","content":"' .. table.concat(start, " ") .. " " .. body_end)
end

-- An answer counts only if it is whole.
bad = 0
function response(status, _, body)
  if status == 200 and body:sub(-14) == "data: [DONE]\n\n" then return end
  bad = bad + 1
  if bad == 1 then io.stderr:write("a bad answer: ", status, " ", body:sub(1, 300), "\n") end
end

function done(summary, latency, _)
  local count = 0
  for _, thread in ipairs(threads) do count = count + thread:get("bad") end
  io.write(string.format('{"requests_per_second": %.1f, "bad": %d, "p50_ms": %.1f, "p99_ms": %.1f}\n',
    summary.requests / summary.duration * 1e6, count + summary.errors.timeout,
    latency:percentile(50) / 1e3, latency:percentile(99) / 1e3))
end
