namespace Librarian.Domain.Stores;

/// <summary>
/// Lets tests stop a store between any two steps and simulate features that a file system lacks. Production code passes none.
/// </summary>
public interface IStoreFaults
{
    /// <summary>True to behave like a file system without a rename that refuses to replace.</summary>
    bool LacksRenameWithoutReplacing => false;

    /// <summary>Called at a named point. An exception from here simulates the death of the process at that point.</summary>
    void Reach(string point);
}
