import json,sys
o,sys.stdout=sys.stdout,sys.stderr
from flytekit.core.context_manager import FlyteContextManager as M
f=M.current_context().file_access
b,c,*m=sys.argv[1:]
j,i,a=c.split("/")
p=""
for n in range(int(a)-1,0,-1):
 q=b+j+"/"+i+"/"+str(n)
 if f.exists(q):
  p=q
  break
if m and not p:
 t=f.get_random_local_path()
 f.get_data(m[0],t)
 p=json.load(open(t)).get(i,"")
print(p,file=o)
