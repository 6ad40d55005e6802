"""Episodes -> rows -> estimates and cells. Pure functions of data; nothing here runs a model."""
