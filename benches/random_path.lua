-- Asks for a random one of the paths in the file that the environment variable PATHS names, a line each. The same for every
-- server, so that it costs the load the same.
local paths = {}
for path in io.lines(os.getenv("PATHS")) do paths[#paths + 1] = path end
local threads = 0
local requests = {}

function setup(thread)
    threads = threads + 1
    thread:set("seed", threads)
end

function init()
    math.randomseed(seed)
    for index, path in ipairs(paths) do requests[index] = wrk.format("GET", path) end
end

function request() return requests[math.random(#requests)] end
