"""What all studies share: experiments (one class a run), the lab they train in, the pruning chain, named axes."""
