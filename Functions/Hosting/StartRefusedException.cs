namespace Librarian.Functions.Hosting;

/// <summary>The program does not start, for a reason that a person has to correct. The message is complete without a stack trace.</summary>
public sealed class StartRefusedException(string message, Exception? inner = null) : InvalidOperationException(message, inner);
