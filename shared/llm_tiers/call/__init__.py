"""The data of one call: what is asked, what is answered, and what the flow requests from its driver."""
