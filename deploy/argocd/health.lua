-- What Argo CD shows of a StoreReplicaSet (docs/gitops.md). It decides nothing anew: it reads the conditions that the
-- operator wrote. Argo CD runs it without the string library.

local metadata = obj.metadata
local status = obj.status or {}
local conditions = {}
for _, condition in ipairs(status.conditions or {}) do
  conditions[condition.type] = condition
end

local function is(kind, value)
  return conditions[kind] ~= nil and conditions[kind].status == value
end

local function words(kind)
  return conditions[kind].reason .. ": " .. conditions[kind].message
end

local function health(value, message)
  return { status = value, message = message }
end

-- What does not make a fleet unhealthy but is to be seen.
local function remarks()
  local text = words("Ready")
  for _, kind in ipairs({ "ChainStalled", "ObservationDegraded" }) do
    if is(kind, "True") then
      text = text .. "; " .. words(kind)
    end
  end
  return text
end

if metadata.deletionTimestamp ~= nil then
  return health("Progressing", "it is being deleted")
end
if (metadata.annotations or {})["tidemark.dev/paused"] == "true" then
  if is("Available", "False") then
    return health("Degraded", words("Available"))
  end
  return health("Suspended", "the annotation tidemark.dev/paused stops reconciling")
end
if status.observedGeneration ~= metadata.generation then
  return health("Progressing", "the operator has not seen this spec yet")
end
if is("Stalled", "True") then
  return health("Degraded", words("Stalled"))
end
-- A rollout that does not get on, or a follower that cannot start.
if is("Progressing", "False") then
  return health("Degraded", words("Progressing"))
end
if is("Reconciling", "True") then
  return health("Progressing", words("Reconciling"))
end
if is("Degraded", "True") then
  return health("Degraded", words("Degraded"))
end
if is("Ready", "True") then
  return health("Healthy", remarks())
end
-- Too few serve: of a new fleet, or in an outage, which is Degraded once the rollout's deadline has passed.
if is("Ready", "False") then
  return health("Progressing", words("Ready"))
end
return health("Progressing", "no replica has been judged yet")
