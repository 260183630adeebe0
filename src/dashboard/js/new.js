// A new run from the page: the form, and the command that asks for the same.
