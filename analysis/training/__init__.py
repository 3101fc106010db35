"""How the text model is made: corpus, training, choosing, judging. Not needed to analyse."""
