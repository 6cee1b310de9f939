"""The evaluation set and its scoring: recordings and faults that the detector was not trained on.

Everything here follows the definitions of the six labels, and shares no code with the training injector: a model
that learned the habits of one injector instead of the faults is found out by the other.
"""
