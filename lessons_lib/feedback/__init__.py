"""Feedback losses: each says where a model should look, or what it must not know from the rest. One file a paper.

    equalizer   Women also Snowboard: confident about the person, undecided without one
    niwt        Choose Your Neuron: a classifier from the importance that its neurons should have
    gain        Tell Me Where to Look: attention mining, and supervision of the map by masks
    attnbn      Attention Bridging Network: class attention across domains (mostly reconstructed, as its file says)
    hint        Taking a HINT: importances ranked like people's; with zero-out and self-critical rivals
    squint      SQuINTing at VQA Models: a reasoning question looks where its sub-questions look
    sort        SOrT-ing VQA Models: gradients of related questions agree, of unrelated ones do not
    cast        CASTing Your Model: contrast with crops that keep the object, and a loss on the map
    rrr         Remembering for the Right Reasons: maps replayed with the images; and its ancestor on input gradients

All are functions of tensors. Import them from their file, `from lessons_lib.feedback.gain import gain_loss`: several papers
use the same word for another thing.
"""
