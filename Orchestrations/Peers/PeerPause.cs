namespace Librarian.Orchestrations.Peers;

/// <summary>Why a pause of a workflow ended.</summary>
internal enum PauseEnd
{
    Elapsed,

    PeerIsBack,

    /// <summary>The other awaited task has completed.</summary>
    Other,
}

/// <summary>
/// Pauses of a workflow that waits for a peer. They end early when the peer is back. A peer that calls this site while it refuses this
/// site's calls must not be flooded: each futile wake-up delays the next one, from four seconds up to ten minutes.
/// </summary>
/// <remarks>For orchestrators: without wake-ups it creates exactly the timers of a plain pause, so older histories replay.</remarks>
internal sealed class PeerPause
{
    private readonly TaskOrchestrationContext _context;
    private Task<string?> _back;
    private DateTime _ignoresSignsUntil;

    /// <param name="context">The workflow's context.</param>
    /// <param name="futile">Futile wake-ups of an earlier generation.</param>
    public PeerPause(TaskOrchestrationContext context, int futile)
    {
        _context = context;
        _back = context.WaitForExternalEvent<string?>(PeerPresence.BackEvent);
        Futile = futile;
        if (futile > 0)
            _ignoresSignsUntil = context.CurrentUtcDateTime + PeerCalls.BetweenWakeUps(futile);
    }

    /// <summary>Futile wake-ups in a row. A wake-up counts as futile until <see cref="Answered"/>.</summary>
    public int Futile { get; private set; }

    /// <summary>Whether the last wake-up was the first since the peer's last answer; then pauses start anew.</summary>
    public bool IsFirst => Futile == 1;

    /// <summary>Notes that the peer has answered this site.</summary>
    public void Answered()
    {
        Futile = 0;
        if (_back.IsCompleted)
            DiscardSigns();
    }

    /// <summary>Waits until the pause or one of the events ends.</summary>
    /// <param name="pause">Length of the pause.</param>
    /// <param name="other">A task that also ends the pause.</param>
    /// <param name="endsAtSign">Whether a sign of life ends the pause.</param>
    public async Task<PauseEnd> WaitAsync(TimeSpan pause, Task? other = null, bool endsAtSign = true)
    {
        var end = _context.CurrentUtcDateTime + pause;
        if (!endsAtSign || Futile == 0 || _ignoresSignsUntil <= _context.CurrentUtcDateTime)
            return await WaitUntilAsync(end, other, endsAtSign);
        var quiet = await WaitUntilAsync(_ignoresSignsUntil < end ? _ignoresSignsUntil : end, other, endsAtSign: false);
        return quiet == PauseEnd.Other || _ignoresSignsUntil >= end ? quiet : await WaitUntilAsync(end, other, endsAtSign: true);
    }

    /// <summary>
    /// Discards signs of life that came while the peer was being asked or while they were ignored, because they are out of date.
    /// </summary>
    private void DiscardSigns()
    {
        do _back = _context.WaitForExternalEvent<string?>(PeerPresence.BackEvent);
        while (_back.IsCompleted);
    }

    private async Task<PauseEnd> WaitUntilAsync(DateTime end, Task? other, bool endsAtSign)
    {
        using var cancel = new CancellationTokenSource();
        var timer = _context.CreateTimer(end, cancel.Token);
        List<Task> ends = [timer];
        if (endsAtSign)
            ends.Insert(0, _back);
        if (other is not null)
            ends.Insert(0, other);
        var first = await Task.WhenAny(ends);
        if (first == timer)
            return PauseEnd.Elapsed;
#pragma warning disable CA1849, MA0042 // CancelAsync leaves the orchestrator's thread; an orchestrator may await only durable tasks.
        cancel.Cancel();
#pragma warning restore CA1849, MA0042
        if (first == other)
            return PauseEnd.Other;
        DiscardSigns();
        Futile++;
        _ignoresSignsUntil = _context.CurrentUtcDateTime + PeerCalls.BetweenWakeUps(Futile);
        return PauseEnd.PeerIsBack;
    }
}
