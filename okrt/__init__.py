"""okrt: does a code agent's model fit the runtime it will be deployed in?"""
