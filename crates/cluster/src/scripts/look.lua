local meta = prove()
if not meta then return {'none'} end
return answer('ok', meta)
