namespace Librarian.Durable.Engine;

/// <summary>Names that control messages use.</summary>
internal static class ControlMessages
{
    /// <summary>Name of a terminate message that also applies to the children.</summary>
    public const string Recursive = "recursive";
}
